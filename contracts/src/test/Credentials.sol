// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Enumerable} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Enumerable.sol";

/// @title Somebody else's credentials: the interface of `AccessCredentialNFT`
/// @notice For tests only. Token 0 is the operator's own, as in the original. Whoever is a minter mints; the owner of
/// a credential changes what it carries, in the block of its mint too, and may burn it.
contract Credentials is ERC721Enumerable {
    address public minter;
    bool public broken;
    uint256 private _next;
    mapping(uint256 tokenId => bytes) private _userEncrypted;

    event CredentialMinted(uint256 indexed tokenId, address indexed recipient);
    event CredentialUpdated(uint256 indexed tokenId);

    error NotTheMinter(address who);
    error NotTheOwner(address who);
    error Broken();

    constructor() ERC721("Credentials", "CRED") {
        minter = msg.sender;
        _give(msg.sender, "");
    }

    function setMinter(address who) external {
        minter = who;
    }

    /// @notice Lets every mint revert, or none.
    function setBroken(bool isBroken) external {
        broken = isBroken;
    }

    function mint(address to, bytes calldata userEncrypted) external returns (uint256) {
        if (msg.sender != minter) revert NotTheMinter(msg.sender);
        if (broken) revert Broken();
        return _give(to, userEncrypted);
    }

    function burn(uint256 tokenId) external {
        if (ownerOf(tokenId) != msg.sender) revert NotTheOwner(msg.sender);
        _burn(tokenId);
    }

    function updateUserEncrypted(uint256 tokenId, bytes calldata userEncrypted) external {
        if (ownerOf(tokenId) != msg.sender) revert NotTheOwner(msg.sender);
        _userEncrypted[tokenId] = userEncrypted;
        emit CredentialUpdated(tokenId);
    }

    function getUserEncrypted(uint256 tokenId) external view returns (bytes memory) {
        _requireOwned(tokenId);
        return _userEncrypted[tokenId];
    }

    function _give(address to, bytes memory userEncrypted) private returns (uint256 tokenId) {
        tokenId = _next++;
        _userEncrypted[tokenId] = userEncrypted;
        _mint(to, tokenId);
        emit CredentialMinted(tokenId, to);
    }
}
