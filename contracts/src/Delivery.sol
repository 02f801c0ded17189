// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ledger} from "./Ledger.sol";
import {Holding} from "./LeaseTypes.sol";

/// @title A machine is handed over, or its price goes back
/// @notice A lease's time begins with its delivery. One that is not delivered within its plan's delivery time is its
/// owner's to give back for all that was paid; the provisioner may give it back at once.
/// @dev The provisioner's key is hot. What it can do to money is to give it back; whoever steals it can deliver
/// falsely, and then the owner ends the lease without a fee, and the admin revokes the role.
abstract contract Delivery is Ledger {
    /// @notice The machine is there: the lease's time begins now. Emits `LeaseDelivered`, `SubscriptionUpdate`,
    /// `EscrowUpdate` and, where there is one to read it, `ConnectionPublished`.
    /// @param tokenId A lease that waits for its delivery, and whose delivery time is not over.
    /// @param reader The owner to whom `connection` is encrypted. If the lease has another by now, it is delivered and
    /// the connection left out: so a transfer at the last moment neither hinders the delivery nor shows it to anybody.
    /// @param connection How to reach the machine, at most `MAX_CONNECTION_LENGTH` bytes, or empty.
    function deliver(
        uint256 tokenId,
        address reader,
        bytes calldata connection
    ) external onlyRole(PROVISIONER_ROLE) {
        Holding storage holding = _undelivered(tokenId);
        if (block.timestamp >= holding.expiration) revert DeliveryOverdue(tokenId, holding.expiration);
        uint64 time = holding.secondsBought;
        holding.deliveredAt = uint64(block.timestamp);
        holding.settledAt = uint64(block.timestamp);
        holding.freeUntil = uint64(block.timestamp) + FREE_END_PERIOD;
        delete holding.secondsBought;
        emit LeaseDelivered(tokenId, uint64(block.timestamp));
        _setExpiration(tokenId, block.timestamp + time);
        emit MetadataUpdate(tokenId);
        _sayEscrow(tokenId);
        if (reader == _ownerOf(tokenId) && connection.length != 0) _publish(tokenId, connection);
    }

    /// @notice Says anew how to reach the machine, as after a change of owner or key.
    /// @param tokenId Any lease there is.
    /// @param reader The owner to whom it is encrypted; reverts if the lease has another by now.
    /// @param connection How to reach the machine, at most `MAX_CONNECTION_LENGTH` bytes; empty takes back what was
    /// said.
    function publishConnection(
        uint256 tokenId,
        address reader,
        bytes calldata connection
    ) external onlyRole(PROVISIONER_ROLE) {
        if (_requireOwned(tokenId) != reader) revert NotLeaseOwner(tokenId, reader);
        _publish(tokenId, connection);
    }

    /// @notice Takes back all that was paid for a lease that was not delivered in time, as credit for `claim`. The
    /// lease is burned.
    /// @param tokenId A lease of the caller's whose delivery time is over.
    function refund(uint256 tokenId) external onlyOwnerOf(tokenId) {
        Holding storage holding = _undelivered(tokenId);
        if (block.timestamp < holding.expiration) revert DeliveryNotOverdue(tokenId, holding.expiration);
        _undo(tokenId);
    }

    /// @notice Gives back at once all that was paid for a lease that was not delivered, because it can't be, or because
    /// its delivery time is over and nobody asked. The lease is burned.
    /// @param tokenId A lease that was not delivered; what was paid becomes its owner's credit.
    function cancelUndelivered(uint256 tokenId) external onlyRole(PROVISIONER_ROLE) {
        _undelivered(tokenId);
        _undo(tokenId);
    }

    /// @notice When the lease's time began.
    /// @param tokenId Any lease there is.
    /// @return In Unix seconds; zero before its delivery.
    function deliveredAt(uint256 tokenId) external view returns (uint64) {
        return _holdingOf(tokenId).deliveredAt;
    }

    /// @notice How to reach the machine, encrypted to the encryption key of the lease.
    /// @param tokenId Any lease there is.
    /// @return What the provisioner published; empty if nothing, or since a transfer nothing.
    function connectionOf(uint256 tokenId) external view returns (bytes memory) {
        return _holdingOf(tokenId).connection;
    }

    /// @notice Keeps a connection and says it.
    /// @param tokenId The lease.
    /// @param connection At most `MAX_CONNECTION_LENGTH` bytes.
    function _publish(uint256 tokenId, bytes calldata connection) private {
        _requireShort(connection, MAX_CONNECTION_LENGTH);
        _holdings[tokenId].connection = connection;
        emit ConnectionPublished(tokenId, connection);
    }

    /// @notice Gives all of an undelivered lease back, without a fee, and removes it.
    /// @param tokenId The lease.
    function _undo(uint256 tokenId) private {
        _giveBack(tokenId, 0);
        _remove(tokenId);
    }

    /// @notice Nothing of the lease is left, and its plan has room for another.
    /// @param tokenId A lease whose escrow is empty and of which no upgrade is asked for.
    function _remove(uint256 tokenId) internal {
        --_plans[_holdings[tokenId].planId].live;
        delete _holdings[tokenId];
        _burn(tokenId);
    }
}
