// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title Renewals: no gap, no loss, never dearer, and not one second after the grace
contract RenewingTest is Shop {
    function testFuzz_a_renewal_extends_from_now_or_the_expiry(uint64 bought_, uint64 waited, uint64 more) public {
        bought_ = uint64(bound(bought_, 60, 300 days));
        waited = uint64(bound(waited, 0, uint256(bought_) + GRACE - 1));
        more = uint64(bound(more, 60, 300 days));
        uint256 token = bought(1, ALICE, bought_);
        uint256 old = lease.expiresAt(token);
        skip(waited);
        renew(token, BOB, more);
        uint256 from = block.timestamp > old ? block.timestamp : old;
        vm.assertEq(lease.expiresAt(token), from + more);
        vm.assertGe(lease.expiresAt(token), old, "a renewal moved an expiry back");
        (, uint256 unused, ) = lease.escrowOf(token);
        vm.assertEq(unused, (lease.expiresAt(token) - block.timestamp) * PRICE);
    }

    function testFuzz_after_the_grace_it_reverts(uint64 late) public {
        uint256 token = bought(1, ALICE, HOUR);
        late = uint64(bound(late, 0, 365 days));
        uint256 endOfGrace = NOW + HOUR + GRACE;
        vm.warp(endOfGrace - 1);
        vm.assertTrue(lease.isRenewable(token), "the last second of grace");
        vm.warp(endOfGrace + late);
        vm.assertTrue(!lease.isRenewable(token), "after the grace");
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(GraceIsOver.selector, token, endOfGrace));
        lease.renewSubscription{value: 1 ether}(token, HOUR);
    }

    function testFuzz_the_price_of_a_lease_only_falls(uint128[6] calldata prices) public {
        uint256 token = bought(1, ALICE, HOUR);
        uint256 lowest = PRICE;
        for (uint256 i = 0; i < prices.length; ++i) {
            uint128 price = uint128(bound(prices[i], 1, 3 * PRICE));
            vm.prank(ADMIN);
            lease.setTerms(1, price, 0, i % 2 == 0);
            uint256 now_ = lease.priceOf(token);
            vm.assertEq(now_, price < lowest ? price : lowest);
            renew(token, BOB, 60);
            lowest = now_;
        }
    }

    function test_somebody_else_pays_no_more_than_they_said() public {
        uint256 token = bought(2, ALICE, HOUR);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(PriceAboveMaximum.selector, HOUR * PRICE, HOUR * PRICE - 1));
        lease.renew(token, HOUR, HOUR * PRICE - 1);
        vm.prank(BOB);
        lease.renew(token, HOUR, HOUR * PRICE);
        vm.assertEq(lease.expiresAt(token), NOW + 2 * HOUR);
    }

    function test_an_upgrade_asked_for_just_before_makes_nobody_pay_more_than_they_said() public {
        createPlan(larger(NATIVE));
        createPlan(larger(address(coin)));
        for (uint256 plan = 1; plan <= 2; ++plan) {
            uint256 token = bought(plan, ALICE, HOUR);
            uint256 said = lease.priceOf(token) * HOUR;
            vm.prank(ALICE);
            lease.requestUpgrade{value: plan == 1 ? 3 * HOUR * PRICE : 0}(token, plan + 2, type(uint256).max);
            vm.assertEq(lease.priceOf(token) * HOUR, 3 * said);
            uint256 before = plan == 1 ? BOB.balance : coin.balanceOf(BOB);
            bytes memory dearer = plan == 1
                ? abi.encodeWithSelector(NotEnoughSent.selector, said, 3 * said)
                : abi.encodeWithSelector(PriceAboveMaximum.selector, 3 * said, said);
            vm.prank(BOB);
            vm.expectRevert(dearer);
            if (plan == 1) lease.renewSubscription{value: said}(token, HOUR);
            else lease.renew(token, HOUR, said);
            vm.assertEq(plan == 1 ? BOB.balance : coin.balanceOf(BOB), before);
            vm.assertEq(lease.expiresAt(token), NOW + HOUR);
        }
    }

    function test_what_is_refused_is_refused_until_allowed_and_a_transfer_allows() public {
        uint256 token = bought(1, ALICE, HOUR);
        vm.prank(ALICE);
        lease.cancelSubscription(token);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(RenewalDeclined.selector, token));
        lease.renewSubscription{value: 1 ether}(token, HOUR);
        vm.expectEmit(address(lease));
        emit RenewalsAllowed(token, true);
        vm.prank(ALICE);
        lease.transferFrom(ALICE, BOB, token);
        renew(token, CAROL, HOUR);
    }

    function test_no_horizon_is_passed() public {
        uint256 token = bought(1, ALICE, HOUR);
        vm.prank(ALICE);
        vm.expectPartialRevert(BeyondHorizon.selector);
        lease.renewSubscription{value: 1 ether}(token, 1096 days - HOUR + 1);
        renew(token, ALICE, 1096 days - HOUR);
        vm.assertEq(lease.expiresAt(token), NOW + 1096 days);
    }
}
