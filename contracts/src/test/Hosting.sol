// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Somebody else's hosting subscriptions: the interface of `BlockhostSubscriptions`, and nothing behind it
/// @notice For tests only: anybody may do anything, nothing is paid. A subscription is nobody's token: who may use the
/// machine is said by a credential in `Credentials`.
contract Hosting {
    /// @notice What is kept of a subscription.
    /// @param planId Its plan.
    /// @param subscriber Who subscribed.
    /// @param expiresAt In Unix seconds.
    /// @param cancelled Whether it was, for good.
    struct Subscription {
        uint256 planId;
        address subscriber;
        uint256 expiresAt;
        bool cancelled;
    }

    /// @dev The id of the newest subscription.
    uint256 private _last;
    /// @dev The id of the newest plan.
    uint256 private _lastPlan;
    /// @dev From id 1.
    mapping(uint256 subscriptionId => Subscription) private _subscriptions;

    /// @notice There is a new plan.
    /// @param planId From 1.
    /// @param name As it was given.
    /// @param pricePerDayUsdCents In cents of a US dollar, for a day.
    event PlanCreated(uint256 indexed planId, string name, uint256 pricePerDayUsdCents);

    /// @notice A plan is now this.
    /// @param planId The plan.
    /// @param name As it was given.
    /// @param pricePerDayUsdCents In cents of a US dollar, for a day.
    /// @param active Whether it is sold.
    event PlanUpdated(uint256 indexed planId, string name, uint256 pricePerDayUsdCents, bool active);

    /// @notice Somebody subscribed.
    /// @param subscriptionId From 1.
    /// @param planId Its plan.
    /// @param subscriber Who called.
    /// @param expiresAt In Unix seconds.
    /// @param paidAmount Always 100: nothing is paid.
    /// @param paymentToken Always zero.
    /// @param userEncrypted What the subscriber gave for the credential.
    event SubscriptionCreated(
        uint256 indexed subscriptionId,
        uint256 indexed planId,
        address indexed subscriber,
        uint256 expiresAt,
        uint256 paidAmount,
        address paymentToken,
        bytes userEncrypted
    );

    /// @notice Somebody added time.
    /// @param subscriptionId The subscription.
    /// @param planId Its plan.
    /// @param extendedBy Who called.
    /// @param newExpiresAt In Unix seconds.
    /// @param paidAmount Always 100: nothing is paid.
    /// @param paymentToken Always zero.
    event SubscriptionExtended(
        uint256 indexed subscriptionId,
        uint256 indexed planId,
        address indexed extendedBy,
        uint256 newExpiresAt,
        uint256 paidAmount,
        address paymentToken
    );

    /// @notice A subscription is over.
    /// @param subscriptionId The subscription.
    /// @param planId Its plan.
    /// @param subscriber Who subscribed.
    event SubscriptionCancelled(uint256 indexed subscriptionId, uint256 indexed planId, address indexed subscriber);

    /// @notice It was never created.
    /// @param subscriptionId What was asked for.
    error NoSuchSubscription(uint256 subscriptionId);

    /// @notice It is over and takes no more time.
    /// @param subscriptionId The subscription.
    error IsCancelled(uint256 subscriptionId);

    /// @notice Tells of a new plan.
    /// @param name Any text.
    /// @param pricePerDayUsdCents In cents of a US dollar, for a day.
    function createPlan(string calldata name, uint256 pricePerDayUsdCents) external {
        emit PlanCreated(++_lastPlan, name, pricePerDayUsdCents);
    }

    /// @notice Tells what a plan is now; that there is one is not asked.
    /// @param planId The plan.
    /// @param name Any text.
    /// @param pricePerDayUsdCents In cents of a US dollar, for a day.
    /// @param active Whether it is sold.
    function updatePlan(uint256 planId, string calldata name, uint256 pricePerDayUsdCents, bool active) external {
        emit PlanUpdated(planId, name, pricePerDayUsdCents, active);
    }

    /// @notice Makes a subscription of the caller's.
    /// @param planId Any number.
    /// @param duration From now on, in seconds.
    /// @param userEncrypted What is to go into its credential.
    function subscribe(uint256 planId, uint256 duration, bytes calldata userEncrypted) external {
        uint256 expiresAt = block.timestamp + duration;
        _subscriptions[++_last] = Subscription(planId, msg.sender, expiresAt, false);
        emit SubscriptionCreated(_last, planId, msg.sender, expiresAt, 100, address(0), userEncrypted);
    }

    /// @notice Adds time: to what is left, or from now on.
    /// @param subscriptionId One that is not cancelled.
    /// @param duration In seconds.
    function extend(uint256 subscriptionId, uint256 duration) external {
        Subscription storage found = _found(subscriptionId);
        if (found.cancelled) revert IsCancelled(subscriptionId);
        uint256 from = found.expiresAt > block.timestamp ? found.expiresAt : block.timestamp;
        found.expiresAt = from + duration;
        emit SubscriptionExtended(subscriptionId, found.planId, msg.sender, found.expiresAt, 100, address(0));
    }

    /// @notice Cancels a subscription, whoever calls.
    /// @param subscriptionId One that there is.
    function cancel(uint256 subscriptionId) external {
        Subscription storage found = _found(subscriptionId);
        found.cancelled = true;
        emit SubscriptionCancelled(subscriptionId, found.planId, found.subscriber);
    }

    /// @notice What is known of a subscription; zeros for what was never created.
    /// @param subscriptionId Any number.
    /// @return planId Its plan.
    /// @return subscriber Who subscribed.
    /// @return expiresAt In Unix seconds.
    /// @return isActive Whether it is neither cancelled nor expired.
    /// @return cancelled Whether it was cancelled.
    function getSubscription(uint256 subscriptionId)
        external
        view
        returns (uint256 planId, address subscriber, uint256 expiresAt, bool isActive, bool cancelled)
    {
        Subscription storage found = _subscriptions[subscriptionId];
        bool active = !found.cancelled && found.expiresAt > block.timestamp;
        return (found.planId, found.subscriber, found.expiresAt, active, found.cancelled);
    }

    /// @notice A subscription; reverts if it was never created.
    /// @param subscriptionId What was asked for.
    /// @return found Where it is kept.
    function _found(uint256 subscriptionId) private view returns (Subscription storage found) {
        found = _subscriptions[subscriptionId];
        if (found.subscriber == address(0)) revert NoSuchSubscription(subscriptionId);
    }
}
