// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Says what a `Lease` would say, without keeping any of it
/// @notice For measurements only: one transaction of it tells of many leases, so that a long history is made in
/// seconds. Whoever calls it is believed; it sells nothing and owns nothing.
contract Crier {
    /// @notice As ERC-721 has it.
    /// @param from Zero: all it tells of are mints.
    /// @param to The first owner.
    /// @param tokenId The lease.
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);

    /// @notice As in `LeaseWords`.
    /// @param tokenId The lease.
    /// @param planId Always 1.
    /// @param payer Who called.
    /// @param secondsBought Always an hour's.
    /// @param paid A thousand for each second.
    event LeaseMinted(
        uint256 indexed tokenId, uint256 indexed planId, address indexed payer, uint256 secondsBought, uint256 paid
    );

    /// @notice As in `IERC5643`.
    /// @param tokenId The lease.
    /// @param expiration In Unix seconds.
    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    /// @notice As in `LeaseWords`.
    /// @param tokenId The lease.
    /// @param sshKey As it was given.
    /// @param encryptionKey Always empty.
    event KeysChanged(uint256 indexed tokenId, string sshKey, bytes encryptionKey);

    /// @notice Tells of many purchases, in the four events of each.
    /// @param first The first token.
    /// @param count How many.
    /// @param expiration Of each, in Unix seconds.
    /// @param sshKey Of each.
    function sell(uint256 first, uint256 count, uint64 expiration, string calldata sshKey) external {
        for (uint256 tokenId = first; tokenId < first + count; ++tokenId) {
            emit Transfer(address(0), msg.sender, tokenId);
            emit LeaseMinted(tokenId, 1, msg.sender, 3600, 3_600_000);
            emit SubscriptionUpdate(tokenId, expiration);
            emit KeysChanged(tokenId, sshKey, "");
        }
    }

    /// @notice Tells of many renewals.
    /// @param first The first token.
    /// @param count How many.
    /// @param expiration Of each, in Unix seconds.
    function renew(uint256 first, uint256 count, uint64 expiration) external {
        for (uint256 tokenId = first; tokenId < first + count; ++tokenId) {
            emit SubscriptionUpdate(tokenId, expiration);
        }
    }
}
