// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Holding, Plan, Upgrade} from "./LeaseTypes.sol";
import {Ledger} from "./Ledger.sol";
import {Plans} from "./Plans.sol";

/// @title What an owner wants of the machine, and how an upgrade is paid
/// @notice An upgrade's price is set aside when it is asked for. Done within the wanted plan's delivery time, it is
/// paid for the time that is left then, and the rest is the owner's; refused or overdue, all of it is.
/// @dev An answer names the request that it answers, by plan and deadline, so that one that comes late answers no
/// other. A deadline alone is not enough: plans differ in their delivery time, so requests for two of them may share
/// one. Both are: a plan's delivery time is fixed, so two requests of one lease share both only if they want the same
/// plan in the same second. The owner can't withdraw the first in its own second. What else drops it there (an answer,
/// or an end and a renewal) leaves a second one that wants the very same machine by the very same time: the answer is
/// as true of it, and each is paid for at its own price out of its own money.
abstract contract Upgrades is Plans, Ledger {
    /// @dev Kinds of action are 1 to this.
    uint8 private constant LAST_ACTION = 4;
    /// @dev The kind that `requestUpgrade` says.
    uint8 private constant UPGRADE = 5;

    /// @notice Asks for something to be done with the machine: 1 reboot, 2 start, 3 stop, 4 reinstall.
    /// @param tokenId A lease of the caller's whose time runs.
    /// @param kind 1 to 4.
    /// @param data At most `MAX_ACTION_LENGTH` bytes; what it means, the kind says.
    function requestAction(uint256 tokenId, uint8 kind, bytes calldata data) external onlyOwnerOf(tokenId) {
        if (kind == 0 || kind > LAST_ACTION) revert UnknownAction(kind);
        _requireShort(data, MAX_ACTION_LENGTH);
        _running(tokenId);
        emit ActionRequested(tokenId, kind, data);
    }

    /// @notice Asks for the machine to become one of a larger plan, of the same kind and payment token, for the time
    /// that is left; pays the difference, which is set aside until it is done. Native coin beyond it is sent back.
    /// @param tokenId A lease of the caller's whose time runs and of which no upgrade is asked for.
    /// @param planId The plan that is wanted, which is on sale.
    /// @param maxAmount Reverts if the difference is more than this, in the smallest unit of the payment token.
    function requestUpgrade(
        uint256 tokenId,
        uint256 planId,
        uint256 maxAmount
    ) external payable nonReentrant onlyOwnerOf(tokenId) {
        Holding storage holding = _running(tokenId);
        if (_upgrades[tokenId].planId != 0) revert UpgradePending(tokenId);
        Plan storage wanted = _takeFromStock(planId);
        _requireUpgrade(holding.planId, planId);
        _settle(tokenId);
        uint256 amount = _due(holding, wanted.pricePerSecond);
        if (amount > maxAmount) revert PriceAboveMaximum(amount, maxAmount);
        uint64 deadline = uint64(block.timestamp) + wanted.deliveryTime;
        _upgrades[tokenId] = Upgrade(uint32(planId), deadline, wanted.pricePerSecond, amount);
        emit ActionRequested(tokenId, UPGRADE, abi.encode(planId));
        emit UpgradeUpdate(tokenId, planId, deadline, amount);
        _sayEscrow(tokenId);
        _take(wanted.paymentToken, amount);
    }

    /// @notice The machine is one of the wanted plan now. What the time that is left costs more goes into escrow, and
    /// what is left of what was set aside becomes the owner's credit.
    /// @dev It never costs more than was set aside: escrow is earned rounded down, and a renewal meanwhile pays both.
    /// @param tokenId A lease whose time runs.
    /// @param planId The plan that was asked for.
    /// @param deadline Until which Unix second it was asked for: plan and deadline are those of the request that is
    /// meant.
    function completeUpgrade(uint256 tokenId, uint256 planId, uint256 deadline) external onlyRole(PROVISIONER_ROLE) {
        Holding storage holding = _running(tokenId);
        Upgrade memory wanted = _named(tokenId, planId, deadline);
        if (block.timestamp >= wanted.deadline) revert DeliveryOverdue(tokenId, wanted.deadline);
        _settle(tokenId);
        uint256 due = _due(holding, wanted.pricePerSecond);
        --_plans[holding.planId].live;
        holding.planId = wanted.planId;
        holding.pricePerSecond = wanted.pricePerSecond;
        holding.escrow += due;
        holding.freeUntil = uint64(block.timestamp) + FREE_END_PERIOD;
        emit PlanChanged(tokenId, wanted.planId);
        emit MetadataUpdate(tokenId);
        _sayEscrow(tokenId);
        _forget(tokenId, wanted.aside - due);
    }

    /// @notice The upgrade can't be done: all that was set aside becomes the owner's credit.
    /// @param tokenId A lease of which an upgrade is asked for.
    /// @param planId The plan that was asked for.
    /// @param deadline Until which Unix second it was asked for: plan and deadline are those of the request that is
    /// meant.
    function refuseUpgrade(uint256 tokenId, uint256 planId, uint256 deadline) external onlyRole(PROVISIONER_ROLE) {
        _named(tokenId, planId, deadline);
        _dropUpgrade(tokenId);
    }

    /// @notice Takes back an upgrade that was not done in time: all that was set aside becomes credit.
    /// @param tokenId A lease of the caller's of which an upgrade is asked for and overdue.
    function withdrawUpgrade(uint256 tokenId) external onlyOwnerOf(tokenId) {
        uint64 deadline = _wanted(tokenId).deadline;
        if (block.timestamp < deadline) revert DeliveryNotOverdue(tokenId, deadline);
        _dropUpgrade(tokenId);
    }

    /// @notice The upgrade that is asked for.
    /// @param tokenId Any number; one of no lease has none.
    /// @return Its plan, deadline, price and what is set aside; plan zero is none.
    function upgradeOf(uint256 tokenId) external view returns (Upgrade memory) {
        return _upgrades[tokenId];
    }

    // --- inside --------------------------------------------------------------------------------------------------

    /// @notice Gives what was set aside back, if there is an upgrade at all.
    /// @param tokenId The lease.
    function _dropUpgrade(uint256 tokenId) internal {
        Upgrade storage wanted = _upgrades[tokenId];
        if (wanted.planId == 0) return;
        --_plans[wanted.planId].live;
        _forget(tokenId, wanted.aside);
    }

    /// @notice Takes an upgrade out of the books and says that there is none.
    /// @param tokenId The lease.
    /// @param back What of the money aside becomes the owner's credit, in the smallest unit of the payment token.
    function _forget(uint256 tokenId, uint256 back) private {
        delete _upgrades[tokenId];
        if (back != 0) _credit(_paymentToken(_holdings[tokenId]), _ownerOf(tokenId), back);
        emit UpgradeUpdate(tokenId, 0, 0, 0);
    }

    /// @notice The upgrade that is asked for; reverts if there is none.
    /// @param tokenId The lease.
    /// @return wanted A copy of it.
    function _wanted(uint256 tokenId) private view returns (Upgrade memory wanted) {
        wanted = _upgrades[tokenId];
        if (wanted.planId == 0) revert NoUpgrade(tokenId);
    }

    /// @notice The upgrade that is asked for, if it is the one that is meant; reverts if not.
    /// @param tokenId The lease.
    /// @param planId The plan that is meant.
    /// @param deadline The Unix second that is meant.
    /// @return wanted A copy of it.
    function _named(uint256 tokenId, uint256 planId, uint256 deadline) private view returns (Upgrade memory wanted) {
        wanted = _wanted(tokenId);
        if (wanted.planId != planId || wanted.deadline != deadline) revert NoUpgrade(tokenId);
    }

    /// @notice What the time that is left of a settled lease costs at a price beyond what its escrow holds.
    /// @param holding The lease.
    /// @param price Of a second, in the smallest unit of the payment token.
    /// @return In the same unit; zero if the escrow pays for it.
    function _due(Holding storage holding, uint128 price) private view returns (uint256) {
        uint256 cost = price * (holding.expiration - block.timestamp);
        return cost > holding.escrow ? cost - holding.escrow : 0;
    }

    /// @notice Reverts unless one plan is no less than another in anything, and as good to pay.
    /// @param from The plan of the lease.
    /// @param to The plan that is wanted.
    function _requireUpgrade(uint256 from, uint256 to) private view {
        Plan storage less = _plans[from];
        Plan storage more = _plans[to];
        bool same = less.kind == more.kind && less.paymentToken == more.paymentToken && from != to;
        bool larger = more.cores >= less.cores && more.memoryMiB >= less.memoryMiB && more.diskGiB >= less.diskGiB;
        if (!same || !larger) revert NotAnUpgrade(from, to);
    }
}
