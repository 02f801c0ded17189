// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Holding} from "./LeaseTypes.sol";
import {LeaseState} from "./LeaseState.sol";

/// @title What an owner says of a lease: its keys, and whether it is renewed; and what a change of owner clears
/// @notice Owner means the owner alone: an approved address can transfer a token, and nothing else.
abstract contract Owners is LeaseState {
    /// @notice Says "do not renew": nobody can, until the owner calls `allowRenewal` or the lease changes hands. What
    /// is paid stays paid: the expiry does not change, and is emitted unchanged. Takes no native coin.
    /// @param tokenId A lease of the caller's.
    function cancelSubscription(uint256 tokenId) external payable onlyOwnerOf(tokenId) {
        if (msg.value != 0) revert NativeCoinNotTaken(msg.value);
        _setDeclined(tokenId, true);
        emit SubscriptionUpdate(tokenId, _holdings[tokenId].expiration);
    }

    /// @notice Undoes `cancelSubscription`. The expiry does not change, and is emitted unchanged.
    /// @param tokenId A lease of the caller's that the admin did not cancel.
    function allowRenewal(uint256 tokenId) external onlyOwnerOf(tokenId) {
        if (_holdings[tokenId].closed) revert LeaseClosed(tokenId);
        _setDeclined(tokenId, false);
        emit SubscriptionUpdate(tokenId, _holdings[tokenId].expiration);
    }

    /// @notice Replaces both keys of a lease; empty values remove them.
    /// @param tokenId A lease of the caller's.
    /// @param sshKey One line of printable ASCII, at most `MAX_KEY_LENGTH` bytes.
    /// @param encryptionKey At most `MAX_KEY_LENGTH` bytes.
    function setKeys(
        uint256 tokenId,
        string calldata sshKey,
        bytes calldata encryptionKey
    ) external onlyOwnerOf(tokenId) {
        _setKeys(tokenId, sshKey, encryptionKey);
    }

    /// @notice Keeps both keys, if they are within bounds, and says them.
    /// @param tokenId The lease.
    /// @param sshKey As for `setKeys`.
    /// @param encryptionKey As for `setKeys`.
    function _setKeys(uint256 tokenId, string calldata sshKey, bytes calldata encryptionKey) internal {
        _requirePrintable(sshKey, MAX_KEY_LENGTH);
        _requireShort(encryptionKey, MAX_KEY_LENGTH);
        _holdings[tokenId].sshKey = sshKey;
        _holdings[tokenId].encryptionKey = encryptionKey;
        emit KeysChanged(tokenId, sshKey, encryptionKey);
    }

    /// @notice Keeps whether the owner wants no renewals, and says whether they are open.
    /// @param tokenId The lease.
    /// @param declined True for none.
    function _setDeclined(uint256 tokenId, bool declined) private {
        _holdings[tokenId].declined = declined;
        emit RenewalsAllowed(tokenId, !declined && !_holdings[tokenId].closed);
        emit MetadataUpdate(tokenId);
    }

    /// @notice Keys and connection are cleared, so that the former owner's open nothing for the next one, and renewals
    /// are allowed again.
    /// @param tokenId The lease, which is the new owner's already.
    function _changedHands(uint256 tokenId) internal override {
        Holding storage holding = _holdings[tokenId];
        delete holding.sshKey;
        delete holding.encryptionKey;
        delete holding.connection;
        emit KeysChanged(tokenId, "", "");
        if (holding.declined) _setDeclined(tokenId, false);
    }
}
