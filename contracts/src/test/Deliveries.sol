// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Counts what is done to it, and minds nothing being done twice
/// @notice For tests of whoever sends transactions: anybody may call it, and a second effect shows.
contract Deliveries {
    /// @notice How often a token was delivered.
    mapping(uint256 tokenId => uint256) public delivered;
    /// @notice Whether a token takes no delivery any more.
    mapping(uint256 tokenId => bool) public gone;

    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    error Gone(uint256 tokenId);

    function deliver(uint256 tokenId, bytes calldata) external {
        if (gone[tokenId]) revert Gone(tokenId);
        ++delivered[tokenId];
        emit SubscriptionUpdate(tokenId, uint64(block.timestamp) + 3600);
    }

    /// @notice Lets a token take no delivery, or take one again.
    function set(uint256 tokenId, bool isGone) external {
        gone[tokenId] = isGone;
    }
}
