// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Says what a `Lease` would say, without keeping any of it
/// @notice For measurements only: one transaction of it tells of many leases, so that a long history is made in
/// seconds. Whoever calls it is believed; it sells nothing and owns nothing.
contract Crier {
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);
    event LeaseMinted(
        uint256 indexed tokenId, uint256 indexed planId, address indexed payer, uint256 secondsBought, uint256 paid
    );
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);
    event KeysChanged(uint256 indexed tokenId, string sshKey, bytes encryptionKey);

    /// @notice Tells of `count` purchases, from token `first` on, in the four events of each.
    function sell(uint256 first, uint256 count, uint64 expiration, string calldata sshKey) external {
        for (uint256 tokenId = first; tokenId < first + count; ++tokenId) {
            emit Transfer(address(0), msg.sender, tokenId);
            emit LeaseMinted(tokenId, 1, msg.sender, 3600, 3_600_000);
            emit SubscriptionUpdate(tokenId, expiration);
            emit KeysChanged(tokenId, sshKey, "");
        }
    }

    /// @notice Tells of `count` renewals, from token `first` on.
    function renew(uint256 first, uint256 count, uint64 expiration) external {
        for (uint256 tokenId = first; tokenId < first + count; ++tokenId) {
            emit SubscriptionUpdate(tokenId, expiration);
        }
    }
}
