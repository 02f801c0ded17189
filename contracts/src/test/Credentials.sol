// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ERC721Enumerable} from "@openzeppelin/contracts/token/ERC721/extensions/ERC721Enumerable.sol";

/// @title Somebody else's credentials: the interface of `AccessCredentialNFT`
/// @notice For tests only. Token 0 is the operator's own, as in the original. Whoever is a minter mints; the owner of a
/// credential changes what it carries, in the block of its mint too, and may burn it.
contract Credentials is ERC721Enumerable {
    /// @notice Who may mint: at first whoever deployed it.
    address public minter;
    /// @notice Whether every mint reverts.
    bool public broken;
    /// @dev The id of the next credential.
    uint256 private _next;
    /// @dev What each credential carries.
    mapping(uint256 tokenId => bytes) private _userEncrypted;

    /// @notice There is a new credential.
    /// @param tokenId From 0, without a gap.
    /// @param recipient Its first owner.
    event CredentialMinted(uint256 indexed tokenId, address indexed recipient);

    /// @notice A credential carries something else now.
    /// @param tokenId The credential.
    event CredentialUpdated(uint256 indexed tokenId);

    /// @notice Only the minter mints.
    /// @param who Who called.
    error NotTheMinter(address who);

    /// @notice Only the owner of a credential does this.
    /// @param who Who called.
    error NotTheOwner(address who);

    /// @notice Every mint reverts, as `setBroken` said.
    error Broken();

    /// @notice Whoever deploys it is the minter, and owns token 0.
    constructor() ERC721("Credentials", "CRED") {
        minter = msg.sender;
        _give(msg.sender, "");
    }

    /// @notice Lets somebody else mint, and nobody but him; anybody may.
    /// @param who The minter from here on.
    function setMinter(address who) external {
        minter = who;
    }

    /// @notice Lets every mint revert, or none.
    /// @param isBroken True for every.
    function setBroken(bool isBroken) external {
        broken = isBroken;
    }

    /// @notice Makes a credential.
    /// @param to Its first owner.
    /// @param userEncrypted What it carries.
    /// @return Its id.
    function mint(address to, bytes calldata userEncrypted) external returns (uint256) {
        if (msg.sender != minter) revert NotTheMinter(msg.sender);
        if (broken) revert Broken();
        return _give(to, userEncrypted);
    }

    /// @notice Removes a credential of the caller's.
    /// @param tokenId The credential.
    function burn(uint256 tokenId) external {
        if (ownerOf(tokenId) != msg.sender) revert NotTheOwner(msg.sender);
        _burn(tokenId);
    }

    /// @notice Changes what a credential of the caller's carries.
    /// @param tokenId The credential.
    /// @param userEncrypted What it carries from here on.
    function updateUserEncrypted(uint256 tokenId, bytes calldata userEncrypted) external {
        if (ownerOf(tokenId) != msg.sender) revert NotTheOwner(msg.sender);
        _userEncrypted[tokenId] = userEncrypted;
        emit CredentialUpdated(tokenId);
    }

    /// @notice What a credential carries.
    /// @param tokenId A credential that there is.
    /// @return As it was given.
    function getUserEncrypted(uint256 tokenId) external view returns (bytes memory) {
        _requireOwned(tokenId);
        return _userEncrypted[tokenId];
    }

    /// @notice Makes a credential, whoever asks.
    /// @param to Its first owner.
    /// @param userEncrypted What it carries.
    /// @return tokenId Its id.
    function _give(address to, bytes memory userEncrypted) private returns (uint256 tokenId) {
        tokenId = _next++;
        _userEncrypted[tokenId] = userEncrypted;
        _mint(to, tokenId);
        emit CredentialMinted(tokenId, to);
    }
}
