// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Delivery} from "./Delivery.sol";
import {Holding} from "./LeaseTypes.sol";
import {Upgrades} from "./Upgrades.sol";

/// @title How a delivered lease ends before its time, and how it is removed
/// @notice Its owner may end it, for a fee that was announced; the admin may cancel it, for none. Once it is over it
/// can be burned.
/// @dev All that was paid is by then in exactly one place: earned by the operator, or the owner's credit.
abstract contract Endings is Delivery, Upgrades {
    /// @notice Ends a delivered lease now. The unused rest becomes the owner's credit, less the plan's fee, which is
    /// zero for `FREE_END_PERIOD` after the delivery, or after an upgrade. The plan's grace follows, as it does after
    /// an expiry.
    /// @param tokenId A lease of the caller's whose time runs.
    function end(uint256 tokenId) external onlyOwnerOf(tokenId) {
        Holding storage holding = _running(tokenId);
        _stop(tokenId, block.timestamp < holding.freeUntil ? 0 : _plans[holding.planId].endFee);
    }

    /// @notice Ends a delivered lease now and for good. The unused rest becomes the owner's credit, without a fee.
    /// @param tokenId A lease whose time runs.
    function cancelDelivered(uint256 tokenId) external onlyRole(DEFAULT_ADMIN_ROLE) {
        Holding storage holding = _running(tokenId);
        holding.closed = true;
        emit RenewalsAllowed(tokenId, false);
        _stop(tokenId, 0);
    }

    /// @notice Removes a lease for good: it can't be renewed any more, and its plan has room for another. The owner may
    /// once it has expired, the provisioner once its grace is over. One that was never delivered is given back instead.
    /// @param tokenId A delivered lease that has expired.
    function burn(uint256 tokenId) external {
        Holding storage holding = _holdingOf(tokenId);
        if (holding.deliveredAt == 0) revert NotDelivered(tokenId);
        if (_ownerOf(tokenId) != _msgSender()) {
            if (!hasRole(PROVISIONER_ROLE, _msgSender())) revert NotLeaseOwner(tokenId, _msgSender());
            uint256 endOfGrace = _endOfGrace(holding);
            if (block.timestamp < endOfGrace) revert NotExpired(tokenId, uint64(endOfGrace));
        }
        if (block.timestamp < holding.expiration) revert NotExpired(tokenId, holding.expiration);
        _settle(tokenId);
        _dropUpgrade(tokenId);
        _sayEscrow(tokenId);
        _remove(tokenId);
    }

    /// @notice Lets a lease expire now and gives back what is unused of it, and an upgrade that is asked for.
    /// @param tokenId A lease whose time runs.
    /// @param feeRate What the operator keeps of the unused rest, in hundredths of a percent.
    function _stop(uint256 tokenId, uint256 feeRate) private {
        _settle(tokenId);
        _setExpiration(tokenId, block.timestamp);
        emit MetadataUpdate(tokenId);
        _giveBack(tokenId, feeRate);
        _dropUpgrade(tokenId);
    }
}
