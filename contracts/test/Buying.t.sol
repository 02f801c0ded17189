// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {PlanOffer, Purchase} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title Plans and purchases: what is offered, what is refused, and what is in escrow then
contract BuyingTest is Shop {
    function test_a_purchase_is_in_escrow_and_nothing_of_it_is_the_operators() public {
        uint256 token = buy(1, ALICE, HOUR);
        skip(DELIVERY / 2);
        collect(token);
        (uint256 earned, uint256 unused, ) = lease.escrowOf(token);
        vm.assertEq(earned, 0);
        vm.assertEq(unused, HOUR * PRICE);
        vm.assertEq(pot(NATIVE), 0);
        vm.assertEq(lease.expiresAt(token), NOW + DELIVERY);
        vm.assertEq(lease.deliveredAt(token), 0);
    }

    function testFuzz_a_purchase_costs_its_price_and_the_rest_comes_back(uint64 duration, uint96 more) public {
        duration = uint64(bound(duration, 60, 1096 days));
        uint256 before = ALICE.balance;
        vm.prank(ALICE);
        lease.mint{value: uint256(duration) * PRICE + more}(purchase(1, BOB, duration));
        vm.assertEq(before - ALICE.balance, uint256(duration) * PRICE);
        vm.assertEq(address(lease).balance, uint256(duration) * PRICE);
        vm.assertEq(lease.ownerOf(1), BOB);
    }

    function test_the_buyers_guards_are_kept() public {
        Purchase memory wanted = purchase(1, ALICE, HOUR);
        wanted.maxAmount = HOUR * PRICE - 1;
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(PriceAboveMaximum.selector, HOUR * PRICE, HOUR * PRICE - 1));
        lease.mint{value: 1 ether}(wanted);
        wanted = purchase(1, ALICE, HOUR);
        wanted.deadline = NOW - 1;
        vm.expectRevert(abi.encodeWithSelector(DeadlinePassed.selector, NOW - 1, NOW));
        lease.mint{value: 1 ether}(wanted);
        vm.expectRevert(abi.encodeWithSelector(NotEnoughSent.selector, 0, HOUR * PRICE));
        lease.mint(purchase(1, ALICE, HOUR));
        vm.expectRevert(abi.encodeWithSelector(NativeCoinNotTaken.selector, 1));
        lease.mint{value: 1}(purchase(2, ALICE, HOUR));
        vm.expectRevert(abi.encodeWithSelector(DurationTooShort.selector, 59, 60));
        lease.mint{value: 1 ether}(purchase(1, ALICE, 59));
        vm.expectPartialRevert(BeyondHorizon.selector);
        lease.mint{value: 1 ether}(purchase(1, ALICE, 1096 days + 1));
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721InvalidReceiver.selector, address(0)));
        lease.mint{value: 1 ether}(purchase(1, address(0), HOUR));
        vm.expectRevert(abi.encodeWithSelector(UnknownPlan.selector, 3));
        lease.mint{value: 1 ether}(purchase(3, ALICE, HOUR));
    }

    function test_a_cap_counts_the_leases_that_exist() public {
        vm.prank(ADMIN);
        lease.setTerms(1, PRICE, 1, true);
        uint256 token = buy(1, ALICE, HOUR);
        vm.deal(BOB, 1 ether);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(SoldOut.selector, 1, 1));
        lease.mint{value: 1 ether}(purchase(1, BOB, HOUR));
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(token);
        vm.assertEq(buy(1, BOB, HOUR), 2);
    }

    function test_a_pause_stops_sales_and_nothing_else() public {
        uint256 delivered = bought(1, ALICE, HOUR);
        uint256 late = buy(1, ALICE, HOUR);
        uint256 plan = createPlan(larger(NATIVE));
        vm.prank(ADMIN);
        lease.setSalesPaused(true);
        vm.startPrank(ALICE);
        vm.expectRevert(SalesArePaused.selector);
        lease.mint{value: 1 ether}(purchase(1, ALICE, HOUR));
        vm.expectRevert(SalesArePaused.selector);
        lease.requestUpgrade{value: 1 ether}(delivered, plan, 1 ether);
        vm.stopPrank();
        renew(delivered, BOB, 10 * HOUR);
        renew(late, BOB, HOUR);
        vm.prank(ALICE);
        lease.transferFrom(ALICE, BOB, delivered);
        skip(DELIVERY);
        vm.prank(ALICE);
        lease.refund(late);
        vm.prank(BOB);
        lease.end(delivered);
        vm.prank(ALICE);
        vm.assertEq(lease.claim(NATIVE, payable(ALICE)), 2 * HOUR * PRICE);
    }

    function test_a_plan_off_sale_is_not_sold_and_still_renews() public {
        uint256 token = bought(1, ALICE, HOUR);
        vm.prank(ADMIN);
        lease.setTerms(1, 9 * PRICE, 0, false);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotOnSale.selector, 1));
        lease.mint{value: 1 ether}(purchase(1, ALICE, HOUR));
        renew(token, BOB, HOUR);
        (, uint256 unused, ) = lease.escrowOf(token);
        vm.assertEq(unused, 2 * HOUR * PRICE);
    }

    function test_a_plan_that_cannot_be_kept_is_refused() public {
        PlanOffer memory wrong = offer(NATIVE);
        wrong.deliveryTime = 5 minutes - 1;
        _refused(wrong, abi.encodeWithSelector(DeliveryTimeNotAllowed.selector, 5 minutes - 1));
        wrong.deliveryTime = 30 days + 1;
        _refused(wrong, abi.encodeWithSelector(DeliveryTimeNotAllowed.selector, 30 days + 1));
        wrong = offer(NATIVE);
        wrong.endFee = 2_501;
        _refused(wrong, abi.encodeWithSelector(EndFeeTooHigh.selector, 2_501, 2_500));
        wrong = offer(NATIVE);
        wrong.pricePerSecond = 0;
        _refused(wrong, abi.encodeWithSelector(PriceIsZero.selector));
        wrong = offer(address(0x99));
        _refused(wrong, abi.encodeWithSelector(NotAToken.selector, address(0x99)));
        wrong = offer(NATIVE);
        wrong.name = "two\nlines";
        _refused(wrong, abi.encodeWithSelector(NotPrintable.selector, 3));
    }

    function _refused(PlanOffer memory wrong, bytes memory error) private {
        vm.prank(ADMIN);
        vm.expectRevert(error);
        lease.createPlan(wrong);
    }
}
