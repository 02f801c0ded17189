// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ERC-5643: subscription NFTs
/// @notice The standard surface; its ERC-165 identifier is 0x8c65f84d.
interface IERC5643 {
    /// @notice The expiry of a subscription is now `expiration`, whatever it was.
    /// @param tokenId The subscription.
    /// @param expiration Absolute, in Unix seconds.
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    /// @notice Extends a subscription.
    /// @param tokenId The subscription.
    /// @param duration By how many seconds.
    function renewSubscription(uint256 tokenId, uint64 duration) external payable;

    /// @notice Cancels a subscription.
    /// @param tokenId The subscription.
    function cancelSubscription(uint256 tokenId) external payable;

    /// @notice When a subscription expires.
    /// @param tokenId The subscription.
    /// @return Absolute, in Unix seconds.
    function expiresAt(uint256 tokenId) external view returns (uint64);

    /// @notice Whether a subscription can be renewed.
    /// @param tokenId The subscription.
    /// @return True if it can be now.
    function isRenewable(uint256 tokenId) external view returns (bool);
}
