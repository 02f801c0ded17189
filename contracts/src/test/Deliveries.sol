// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Counts what is done to it, and minds nothing being done twice
/// @notice For tests of whoever sends transactions: anybody may call it, and a second effect shows.
contract Deliveries {
    /// @notice How often a token was delivered.
    mapping(uint256 tokenId => uint256) public delivered;
    /// @notice Whether a token takes no delivery any more.
    mapping(uint256 tokenId => bool) public gone;

    /// @notice As in `IERC5643`.
    /// @param tokenId The token that was delivered.
    /// @param expiration An hour after the delivery, in Unix seconds.
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    /// @notice The token takes no delivery any more.
    /// @param tokenId The token.
    error Gone(uint256 tokenId);

    /// @notice Counts one delivery more.
    /// @param tokenId Any token that is not gone.
    function deliver(uint256 tokenId, bytes calldata) external {
        if (gone[tokenId]) revert Gone(tokenId);
        ++delivered[tokenId];
        emit SubscriptionUpdate(tokenId, uint64(block.timestamp) + 3600);
    }

    /// @notice Lets a token take no delivery, or take one again.
    /// @param tokenId The token.
    /// @param isGone True for none.
    function set(uint256 tokenId, bool isGone) external {
        gone[tokenId] = isGone;
    }
}
