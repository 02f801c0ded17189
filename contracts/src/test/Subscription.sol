// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {IERC5643} from "../IERC5643.sol";

/// @title Somebody else's subscription NFT: an ERC-721 with ERC-5643 and what such contracts do
/// @notice For tests only: anybody may do anything. It says an expiry before or after the mint, forgets none when a
/// token is burnt, answers for tokens that do not exist, and has events that are nobody's business.
contract Subscription is ERC721, IERC5643 {
    /// @dev In Unix seconds; of tokens that do not exist too.
    mapping(uint256 tokenId => uint64) private _expirations;

    /// @notice Nothing to do with leases.
    /// @param tokenId Any number.
    event Chatter(uint256 tokenId);

    /// @notice Nobody has any right: anybody may do anything.
    constructor() ERC721("Subscription", "SUB") {}

    /// @notice Mints, then says the expiry.
    /// @param to The first owner.
    /// @param tokenId Any that does not exist.
    /// @param expiration In Unix seconds.
    function mint(address to, uint256 tokenId, uint64 expiration) external {
        _mint(to, tokenId);
        _set(tokenId, expiration);
    }

    /// @notice Says the expiry, then mints.
    /// @param to The first owner.
    /// @param tokenId Any that does not exist.
    /// @param expiration In Unix seconds.
    function announceAndMint(address to, uint256 tokenId, uint64 expiration) external {
        _set(tokenId, expiration);
        _mint(to, tokenId);
    }

    /// @notice Mints and says no expiry.
    /// @param to The first owner.
    /// @param tokenId Any that does not exist.
    function give(address to, uint256 tokenId) external {
        _mint(to, tokenId);
    }

    /// @notice Removes a token, and keeps its expiry.
    /// @param tokenId Any that exists.
    function burn(uint256 tokenId) external {
        _burn(tokenId);
    }

    /// @notice Says what has nothing to do with leases.
    /// @param tokenId Any number.
    function chatter(uint256 tokenId) external {
        emit Chatter(tokenId);
    }

    /// @notice Says an expiry in an event of the same name with another type.
    /// @param tokenId Any number.
    /// @param expiration In Unix seconds.
    function misspell(uint256 tokenId, uint256 expiration) external {
        bytes32 topic = keccak256("SubscriptionUpdate(uint256,uint256)");
        assembly ("memory-safe") {
            mstore(0, expiration)
            log2(0, 0x20, topic, tokenId)
        }
    }

    /// @notice Says an expiry in the right event with nothing indexed: the same first topic, in another form.
    /// @param tokenId Any number.
    /// @param expiration In Unix seconds.
    function mumble(uint256 tokenId, uint64 expiration) external {
        bytes32 topic = keccak256("SubscriptionUpdate(uint256,uint64)");
        assembly ("memory-safe") {
            mstore(0, tokenId)
            mstore(0x20, expiration)
            log1(0, 0x40, topic)
        }
    }

    /// @notice Adds to the old expiry, however long ago that is; to now where there is none.
    /// @param tokenId Any number.
    /// @param duration In seconds.
    function renewSubscription(uint256 tokenId, uint64 duration) external payable {
        uint64 from = _expirations[tokenId];
        _set(tokenId, (from == 0 ? uint64(block.timestamp) : from) + duration);
    }

    /// @notice Says that the expiry is zero.
    /// @param tokenId Any number.
    function cancelSubscription(uint256 tokenId) external payable {
        _set(tokenId, 0);
    }

    /// @notice What was said last.
    /// @param tokenId Any number.
    /// @return In Unix seconds; zero if nothing was.
    function expiresAt(uint256 tokenId) external view returns (uint64) {
        return _expirations[tokenId];
    }

    /// @notice Whether a token can be renewed.
    /// @return True of every token, also of one that does not exist.
    function isRenewable(uint256) external pure returns (bool) {
        return true;
    }

    /// @notice Keeps an expiry and says it.
    /// @param tokenId Any number.
    /// @param expiration In Unix seconds.
    function _set(uint256 tokenId, uint64 expiration) private {
        _expirations[tokenId] = expiration;
        emit SubscriptionUpdate(tokenId, expiration);
    }
}
