// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LeaseState} from "./LeaseState.sol";
import {Plan, PlanOffer} from "./LeaseTypes.sol";

/// @title What is sold, and on what terms
/// @notice What a buyer was promised is fixed when the plan is created: the machine, the grace, the time to deliver,
/// the fee of an early end, the payment token. Terms are of new sales only, except that a lower price is for all.
abstract contract Plans is LeaseState {
    /// @notice Defines a plan and puts it on sale.
    /// @param offer Its facts, all within their bounds, and its first terms.
    /// @return planId Contiguous, starting at 1.
    function createPlan(PlanOffer calldata offer) external onlyRole(DEFAULT_ADMIN_ROLE) returns (uint256 planId) {
        _requireKept(offer);
        planId = ++planCount;
        Plan storage created = _plans[planId];
        created.name = offer.name;
        created.kind = offer.kind;
        created.cores = offer.cores;
        created.memoryMiB = offer.memoryMiB;
        created.diskGiB = offer.diskGiB;
        created.grace = offer.grace;
        created.deliveryTime = offer.deliveryTime;
        created.endFee = offer.endFee;
        created.paymentToken = offer.paymentToken;
        emit PlanDefined(
            planId,
            offer.name,
            offer.kind,
            offer.cores,
            offer.memoryMiB,
            offer.diskGiB,
            offer.grace
        );
        emit PlanPromises(planId, offer.deliveryTime, offer.endFee);
        _setTerms(planId, offer.pricePerSecond, offer.cap, true);
    }

    /// @notice Changes the terms of new sales. A lease that exists renews at the lower of its own and the plan's price.
    /// @param planId Any plan there is.
    /// @param pricePerSecond In the smallest unit of the plan's payment token, at least one.
    /// @param cap How many leases there may be at once, zero for no limit. May be below the number that exist: then
    /// none is sold until enough are burned.
    /// @param onSale Whether new leases, and upgrades to it, are sold.
    function setTerms(
        uint256 planId,
        uint128 pricePerSecond,
        uint32 cap,
        bool onSale
    ) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _requirePlan(planId);
        _setTerms(planId, pricePerSecond, cap, onSale);
    }

    /// @notice Pauses new sales and upgrades of all plans, or goes on with them. Nothing else is ever paused.
    /// @param paused True to pause.
    function setSalesPaused(bool paused) external onlyRole(DEFAULT_ADMIN_ROLE) {
        salesPaused = paused;
        emit SalesPaused(paused);
    }

    /// @notice A plan and its present terms.
    /// @param planId Any plan there is.
    /// @return All that is known of it.
    function plan(uint256 planId) external view returns (Plan memory) {
        _requirePlan(planId);
        return _plans[planId];
    }

    /// @notice Counts one more lease of a plan, or reverts if none may be sold now.
    /// @param planId What was asked for.
    /// @return sold The plan, where it is kept.
    function _takeFromStock(uint256 planId) internal returns (Plan storage sold) {
        if (salesPaused) revert SalesArePaused();
        _requirePlan(planId);
        sold = _plans[planId];
        if (!sold.onSale) revert NotOnSale(planId);
        if (sold.cap != 0 && sold.live >= sold.cap) revert SoldOut(planId, sold.cap);
        ++sold.live;
    }

    /// @notice Reverts unless an offer is one that can be kept for ever.
    /// @param offer What the admin offers.
    function _requireKept(PlanOffer calldata offer) private view {
        if (bytes(offer.name).length == 0) revert NameIsEmpty();
        _requirePrintable(offer.name, MAX_NAME_LENGTH);
        if (offer.kind > KIND_CONTAINER) revert UnknownKind(offer.kind);
        if (offer.cores == 0 || offer.memoryMiB == 0 || offer.diskGiB == 0) revert EmptyMachine();
        if (offer.grace > MAX_GRACE) revert GraceTooLong(offer.grace, MAX_GRACE);
        if (offer.deliveryTime < MIN_DELIVERY_TIME || offer.deliveryTime > MAX_DELIVERY_TIME) {
            revert DeliveryTimeNotAllowed(offer.deliveryTime);
        }
        if (offer.endFee > MAX_END_FEE) revert EndFeeTooHigh(offer.endFee, MAX_END_FEE);
        address token = offer.paymentToken;
        if (token != address(0) && token.code.length == 0) revert NotAToken(token);
    }

    /// @notice Keeps the terms of a plan, and says them.
    /// @param planId The plan.
    /// @param pricePerSecond In the smallest unit of its payment token; zero is refused.
    /// @param cap How many leases there may be at once; zero is no limit.
    /// @param onSale Whether it is sold.
    function _setTerms(uint256 planId, uint128 pricePerSecond, uint32 cap, bool onSale) private {
        if (pricePerSecond == 0) revert PriceIsZero();
        Plan storage changed = _plans[planId];
        changed.pricePerSecond = pricePerSecond;
        changed.cap = cap;
        changed.onSale = onSale;
        emit PlanTerms(planId, changed.paymentToken, pricePerSecond, cap, onSale);
    }
}
