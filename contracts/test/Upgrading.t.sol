// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanOffer, Upgrade} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title What an owner asks for, and what an upgrade costs
contract UpgradingTest is Shop {
    uint256 private large;

    function setUp() public override {
        super.setUp();
        large = createPlan(larger(address(coin)));
    }

    function test_a_wish_is_said_by_the_owner_of_a_running_lease_alone() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotDelivered.selector, token));
        lease.requestAction(token, 1, "");
        vm.stopPrank();
        deliver(token);
        vm.expectEmit(address(lease));
        emit ActionRequested(token, 4, "debian-12");
        vm.prank(ALICE);
        lease.requestAction(token, 4, "debian-12");
        vm.startPrank(BOB);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, token, BOB));
        lease.requestAction(token, 1, "");
        vm.stopPrank();
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(UnknownAction.selector, 5));
        lease.requestAction(token, 5, "");
        vm.expectRevert(abi.encodeWithSelector(UnknownAction.selector, 0));
        lease.requestAction(token, 0, "");
        vm.expectRevert(abi.encodeWithSelector(TooLong.selector, 257, 256));
        lease.requestAction(token, 1, new bytes(257));
        skip(HOUR);
        vm.expectRevert(abi.encodeWithSelector(AlreadyExpired.selector, token, NOW + HOUR));
        lease.requestAction(token, 1, "");
        vm.stopPrank();
    }

    function testFuzz_an_upgrade_costs_the_difference_for_the_time_it_is_had(
        uint64 duration,
        uint64 asked,
        uint64 took
    ) public {
        duration = uint64(bound(duration, 3 hours, 500 days));
        asked = uint64(bound(asked, 0, duration - 2 hours));
        took = uint64(bound(took, 0, DELIVERY - 1));
        uint256 token = bought(2, ALICE, duration);
        skip(asked);
        vm.prank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        uint256 left = duration - asked;
        vm.assertEq(lease.upgradeOf(token).aside, left * 2 * PRICE);
        skip(took);
        _complete(token);
        (, uint256 unused, uint256 aside) = lease.escrowOf(token);
        vm.assertEq(unused, (left - took) * 3 * PRICE);
        vm.assertEq(aside, 0);
        vm.assertEq(lease.creditOf(address(coin), ALICE), uint256(took) * 2 * PRICE);
        vm.assertEq(lease.planOf(token), large);
        vm.assertEq(lease.priceOf(token), 3 * PRICE);
        vm.assertEq(lease.expiresAt(token), NOW + duration);
        vm.assertEq(lease.plan(2).live, 0);
        vm.assertEq(lease.plan(large).live, 1);
    }

    function test_a_renewal_meanwhile_pays_for_both_and_is_upgraded_too() public {
        uint256 token = bought(2, ALICE, HOUR);
        vm.prank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        vm.assertEq(lease.priceOf(token), 3 * PRICE);
        renew(token, BOB, HOUR);
        _complete(token);
        (, uint256 unused, ) = lease.escrowOf(token);
        vm.assertEq(unused, 2 * HOUR * 3 * PRICE);
        vm.assertEq(lease.creditOf(address(coin), ALICE), 0);
    }

    function test_a_refused_or_overdue_upgrade_gives_everything_back_to_the_owner() public {
        uint256 token = bought(2, ALICE, 10 * HOUR);
        vm.prank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        vm.prank(PROVISIONER);
        lease.refuseUpgrade(token, large, NOW + DELIVERY);
        vm.assertEq(lease.creditOf(address(coin), ALICE), 20 * HOUR * PRICE);
        vm.startPrank(ALICE);
        lease.claim(address(coin), payable(ALICE));
        lease.requestUpgrade(token, large, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(UpgradePending.selector, token));
        lease.requestUpgrade(token, large, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(DeliveryNotOverdue.selector, token, NOW + DELIVERY));
        lease.withdrawUpgrade(token);
        vm.stopPrank();
        skip(DELIVERY);
        vm.prank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(DeliveryOverdue.selector, token, NOW + DELIVERY));
        lease.completeUpgrade(token, large, NOW + DELIVERY);
        vm.assertEq(lease.priceOf(token), PRICE);
        vm.startPrank(ALICE);
        lease.withdrawUpgrade(token);
        vm.expectRevert(abi.encodeWithSelector(NoUpgrade.selector, token));
        lease.withdrawUpgrade(token);
        vm.stopPrank();
        vm.assertEq(lease.creditOf(address(coin), ALICE), 20 * HOUR * PRICE);
        vm.assertEq(lease.plan(large).live, 0);
    }

    function test_an_answer_to_one_upgrade_never_answers_another() public {
        PlanOffer memory other = larger(address(coin));
        other.pricePerSecond = uint128(5 * PRICE);
        uint256[2] memory again = [large, createPlan(other)];
        uint256 token = bought(2, ALICE, 10 * HOUR);
        vm.prank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        uint256 deadline = lease.upgradeOf(token).deadline;
        skip(DELIVERY);
        vm.prank(ALICE);
        lease.withdrawUpgrade(token);
        _refusesToAnswer(token, large, deadline);
        for (uint256 i = 0; i < 2; ++i) {
            uint256 before = vm.snapshotState();
            vm.prank(ALICE);
            lease.requestUpgrade(token, again[i], type(uint256).max);
            _refusesToAnswer(token, large, deadline);
            _refusesToAnswer(token, again[1 - i], lease.upgradeOf(token).deadline);
            _complete(token);
            vm.assertEq(lease.planOf(token), again[i]);
            vm.revertToState(before);
        }
    }

    function test_two_plans_may_be_asked_for_until_the_same_second_and_are_told_apart() public {
        PlanOffer memory sooner = larger(address(coin));
        sooner.deliveryTime = DELIVERY / 2;
        uint256 soon = createPlan(sooner);
        uint256 token = bought(2, ALICE, 10 * HOUR);
        vm.startPrank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        uint256 deadline = lease.upgradeOf(token).deadline;
        skip(DELIVERY / 2);
        lease.end(token);
        coin.approve(address(lease), type(uint256).max);
        lease.renewSubscription(token, 10 * HOUR);
        lease.requestUpgrade(token, soon, type(uint256).max);
        vm.stopPrank();
        vm.assertEq(lease.upgradeOf(token).deadline, deadline);
        _refusesToAnswer(token, large, deadline);
        _complete(token);
        vm.assertEq(lease.planOf(token), soon);
    }

    function test_an_end_gives_back_what_was_set_aside_too() public {
        uint256 token = bought(2, ALICE, 10 * HOUR);
        vm.startPrank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        lease.end(token);
        vm.stopPrank();
        vm.assertEq(lease.creditOf(address(coin), ALICE), 30 * HOUR * PRICE);
    }

    function test_after_an_upgrade_an_end_is_free_for_a_while_again() public {
        uint256 token = bought(2, ALICE, 100 * HOUR);
        skip(50 * HOUR);
        vm.prank(ALICE);
        lease.requestUpgrade(token, large, type(uint256).max);
        _complete(token);
        skip(HOUR);
        vm.prank(ALICE);
        lease.end(token);
        vm.assertEq(lease.creditOf(address(coin), ALICE), 49 * HOUR * 3 * PRICE);
    }

    function test_an_upgrade_is_to_more_of_the_same_kind_and_coin() public {
        uint256 token = bought(2, ALICE, HOUR);
        PlanOffer memory less = larger(address(coin));
        less.diskGiB = 9;
        PlanOffer memory container = larger(address(coin));
        container.kind = 1;
        uint256[4] memory wrong = [2, createPlan(less), createPlan(container), createPlan(larger(NATIVE))];
        vm.startPrank(ALICE);
        for (uint256 i = 0; i < wrong.length; ++i) {
            vm.expectRevert(abi.encodeWithSelector(NotAnUpgrade.selector, 2, wrong[i]));
            lease.requestUpgrade(token, wrong[i], type(uint256).max);
        }
        vm.expectRevert(abi.encodeWithSelector(PriceAboveMaximum.selector, 2 * HOUR * PRICE, 1));
        lease.requestUpgrade(token, large, 1);
        vm.stopPrank();
    }

    function _complete(uint256 token) private {
        Upgrade memory wanted = lease.upgradeOf(token);
        vm.prank(PROVISIONER);
        lease.completeUpgrade(token, wanted.planId, wanted.deadline);
    }

    function _refusesToAnswer(uint256 token, uint256 plan, uint256 deadline) private {
        vm.startPrank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(NoUpgrade.selector, token));
        lease.completeUpgrade(token, plan, deadline);
        vm.expectRevert(abi.encodeWithSelector(NoUpgrade.selector, token));
        lease.refuseUpgrade(token, plan, deadline);
        vm.stopPrank();
    }
}
