// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Somebody else's hosting subscriptions: the interface of `BlockhostSubscriptions`, and nothing behind it
/// @notice For tests only: anybody may do anything, nothing is paid. A subscription is nobody's token: who may use the
/// machine is said by a credential in `Credentials`.
contract Hosting {
    struct Subscription {
        uint256 planId;
        address subscriber;
        uint256 expiresAt;
        bool cancelled;
    }

    uint256 private _last;
    uint256 private _lastPlan;
    mapping(uint256 subscriptionId => Subscription) private _subscriptions;

    event PlanCreated(uint256 indexed planId, string name, uint256 pricePerDayUsdCents);
    event PlanUpdated(uint256 indexed planId, string name, uint256 pricePerDayUsdCents, bool active);
    event SubscriptionCreated(
        uint256 indexed subscriptionId,
        uint256 indexed planId,
        address indexed subscriber,
        uint256 expiresAt,
        uint256 paidAmount,
        address paymentToken,
        bytes userEncrypted
    );
    event SubscriptionExtended(
        uint256 indexed subscriptionId,
        uint256 indexed planId,
        address indexed extendedBy,
        uint256 newExpiresAt,
        uint256 paidAmount,
        address paymentToken
    );
    event SubscriptionCancelled(uint256 indexed subscriptionId, uint256 indexed planId, address indexed subscriber);

    error NoSuchSubscription(uint256 subscriptionId);
    error IsCancelled(uint256 subscriptionId);

    function createPlan(string calldata name, uint256 pricePerDayUsdCents) external {
        emit PlanCreated(++_lastPlan, name, pricePerDayUsdCents);
    }

    function updatePlan(uint256 planId, string calldata name, uint256 pricePerDayUsdCents, bool active) external {
        emit PlanUpdated(planId, name, pricePerDayUsdCents, active);
    }

    function subscribe(uint256 planId, uint256 duration, bytes calldata userEncrypted) external {
        uint256 expiresAt = block.timestamp + duration;
        _subscriptions[++_last] = Subscription(planId, msg.sender, expiresAt, false);
        emit SubscriptionCreated(_last, planId, msg.sender, expiresAt, 100, address(0), userEncrypted);
    }

    /// @notice Adds time: to what is left, or from now on.
    function extend(uint256 subscriptionId, uint256 duration) external {
        Subscription storage found = _found(subscriptionId);
        if (found.cancelled) revert IsCancelled(subscriptionId);
        uint256 from = found.expiresAt > block.timestamp ? found.expiresAt : block.timestamp;
        found.expiresAt = from + duration;
        emit SubscriptionExtended(subscriptionId, found.planId, msg.sender, found.expiresAt, 100, address(0));
    }

    function cancel(uint256 subscriptionId) external {
        Subscription storage found = _found(subscriptionId);
        found.cancelled = true;
        emit SubscriptionCancelled(subscriptionId, found.planId, found.subscriber);
    }

    /// @notice Zeros for what was never created.
    function getSubscription(uint256 subscriptionId)
        external
        view
        returns (uint256 planId, address subscriber, uint256 expiresAt, bool isActive, bool cancelled)
    {
        Subscription storage found = _subscriptions[subscriptionId];
        bool active = !found.cancelled && found.expiresAt > block.timestamp;
        return (found.planId, found.subscriber, found.expiresAt, active, found.cancelled);
    }

    function _found(uint256 subscriptionId) private view returns (Subscription storage found) {
        found = _subscriptions[subscriptionId];
        if (found.subscriber == address(0)) revert NoSuchSubscription(subscriptionId);
    }
}
