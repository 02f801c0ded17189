// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title ERC-5643: subscription NFTs
/// @notice The standard surface; its ERC-165 identifier is 0x8c65f84d.
interface IERC5643 {
    /// @notice The expiry of a subscription is now `expiration`: absolute, in Unix seconds.
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    /// @notice Extends the subscription by `duration` seconds.
    function renewSubscription(uint256 tokenId, uint64 duration) external payable;

    /// @notice Cancels the subscription.
    function cancelSubscription(uint256 tokenId) external payable;

    /// @notice When the subscription expires, in Unix seconds.
    function expiresAt(uint256 tokenId) external view returns (uint64);

    /// @notice Whether the subscription can be renewed.
    function isRenewable(uint256 tokenId) external view returns (bool);
}
