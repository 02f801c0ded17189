// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC5643} from "../IERC5643.sol";

/// @title Somebody else's subscription NFT: an ERC-721 with ERC-5643 and what such contracts do
/// @notice For tests only: anybody may do anything. It says an expiry before or after the mint, forgets none when a
/// token is burnt, answers for tokens that do not exist, and has events that are nobody's business.
contract Subscription is ERC721, IERC5643 {
    mapping(uint256 tokenId => uint64) private _expirations;

    event Chatter(uint256 tokenId);

    constructor() ERC721("Subscription", "SUB") {}

    /// @notice Mints, then says the expiry.
    function mint(address to, uint256 tokenId, uint64 expiration) external {
        _mint(to, tokenId);
        _set(tokenId, expiration);
    }

    /// @notice Says the expiry, then mints.
    function announceAndMint(address to, uint256 tokenId, uint64 expiration) external {
        _set(tokenId, expiration);
        _mint(to, tokenId);
    }

    /// @notice Mints and says no expiry.
    function give(address to, uint256 tokenId) external {
        _mint(to, tokenId);
    }

    function burn(uint256 tokenId) external {
        _burn(tokenId);
    }

    /// @notice Says what has nothing to do with leases.
    function chatter(uint256 tokenId) external {
        emit Chatter(tokenId);
    }

    /// @notice Says an expiry in an event of the same name with another type.
    function misspell(uint256 tokenId, uint256 expiration) external {
        bytes32 topic = keccak256("SubscriptionUpdate(uint256,uint256)");
        assembly ("memory-safe") {
            mstore(0, expiration)
            log2(0, 0x20, topic, tokenId)
        }
    }

    /// @notice Says an expiry in the right event with nothing indexed: the same first topic, in another form.
    function mumble(uint256 tokenId, uint64 expiration) external {
        bytes32 topic = keccak256("SubscriptionUpdate(uint256,uint64)");
        assembly ("memory-safe") {
            mstore(0, tokenId)
            mstore(0x20, expiration)
            log1(0, 0x40, topic)
        }
    }

    function renewSubscription(uint256 tokenId, uint64 duration) external payable {
        uint64 from = _expirations[tokenId];
        _set(tokenId, (from == 0 ? uint64(block.timestamp) : from) + duration);
    }

    function cancelSubscription(uint256 tokenId) external payable {
        _set(tokenId, 0);
    }

    function expiresAt(uint256 tokenId) external view returns (uint64) {
        return _expirations[tokenId];
    }

    function isRenewable(uint256) external pure returns (bool) {
        return true;
    }

    function _set(uint256 tokenId, uint64 expiration) private {
        _expirations[tokenId] = expiration;
        emit SubscriptionUpdate(tokenId, expiration);
    }
}
