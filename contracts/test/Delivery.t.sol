// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Holding} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title From the purchase to the machine, or to the money back
contract DeliveryTest is Shop {
    function testFuzz_time_begins_with_the_delivery(uint64 waited, uint64 duration) public {
        waited = uint64(bound(waited, 0, DELIVERY - 1));
        duration = uint64(bound(duration, 60, 1096 days));
        uint256 token = buy(2, ALICE, duration);
        skip(waited);
        vm.expectEmit(address(lease));
        emit LeaseDelivered(token, uint64(block.timestamp));
        vm.expectEmit(address(lease));
        emit SubscriptionUpdate(token, uint64(block.timestamp) + duration);
        deliver(token);
        vm.assertEq(lease.expiresAt(token), block.timestamp + duration);
        skip(duration - 1);
        collect(token);
        vm.assertEq(pot(address(coin)), (uint256(duration) - 1) * PRICE);
    }

    event SubscriptionUpdate(uint256 indexed tokenId, uint64 expiration);

    function test_it_is_delivered_once() public {
        uint256 token = bought(1, ALICE, HOUR);
        vm.startPrank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDelivered.selector, token, NOW));
        lease.deliver(token, ALICE, "");
        vm.expectRevert(abi.encodeWithSelector(AlreadyDelivered.selector, token, NOW));
        lease.cancelUndelivered(token);
    }

    function test_after_the_delivery_time_nothing_but_a_refund_is_left() public {
        uint256 token = buy(1, ALICE, HOUR);
        skip(DELIVERY - 1);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(DeliveryNotOverdue.selector, token, NOW + DELIVERY));
        lease.refund(token);
        skip(1);
        vm.prank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(DeliveryOverdue.selector, token, NOW + DELIVERY));
        lease.deliver(token, ALICE, "");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(GraceIsOver.selector, token, NOW + DELIVERY));
        lease.renewSubscription{value: 1 ether}(token, HOUR);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotDelivered.selector, token));
        lease.burn(token);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotDelivered.selector, token));
        lease.end(token);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, token, BOB));
        lease.refund(token);
        vm.prank(ALICE);
        lease.refund(token);
        vm.assertEq(lease.creditOf(NATIVE, ALICE), HOUR * PRICE);
        vm.assertEq(lease.balanceOf(ALICE), 0);
    }

    function testFuzz_whoever_owns_an_undelivered_lease_gets_all_that_was_paid(uint64 first, uint64 more) public {
        first = uint64(bound(first, 60, 300 days));
        more = uint64(bound(more, 60, 300 days));
        uint256 token = buy(2, ALICE, first);
        renew(token, CAROL, more);
        vm.assertEq(lease.expiresAt(token), NOW + DELIVERY);
        vm.prank(ALICE);
        lease.transferFrom(ALICE, BOB, token);
        skip(DELIVERY);
        vm.prank(BOB);
        lease.refund(token);
        vm.assertEq(lease.creditOf(address(coin), BOB), (uint256(first) + more) * PRICE);
        vm.prank(BOB);
        lease.claim(address(coin), payable(CAROL));
        vm.assertEq(coin.balanceOf(address(lease)), 0);
    }

    function test_the_provisioner_gives_back_at_once_what_it_cannot_deliver() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.expectEmit(address(lease));
        emit Refunded(token, ALICE, HOUR * PRICE, 0);
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(token);
        vm.assertEq(lease.creditOf(NATIVE, ALICE), HOUR * PRICE);
    }

    function test_a_renewal_before_the_delivery_is_delivered_too() public {
        uint256 token = buy(1, ALICE, HOUR);
        renew(token, BOB, HOUR);
        skip(10);
        deliver(token);
        vm.assertEq(lease.expiresAt(token), block.timestamp + 2 * HOUR);
        vm.prank(ALICE);
        uint256 other = lease.mint{value: 1100 days * PRICE}(purchase(1, ALICE, 1096 days));
        vm.prank(ALICE);
        vm.expectPartialRevert(BeyondHorizon.selector);
        lease.renewSubscription{value: 1 ether}(other, 60);
    }

    function test_it_tells_what_the_delivery_will_start_and_until_when_an_end_is_free() public {
        uint256 token = buy(1, ALICE, HOUR);
        renew(token, BOB, 2 * HOUR);
        (uint64 time, uint64 free) = lease.termOf(token);
        vm.assertEq(time, 3 * HOUR);
        vm.assertEq(free, 0);
        deliver(token);
        (time, free) = lease.termOf(token);
        vm.assertEq(time, 0);
        vm.assertEq(free, block.timestamp + lease.FREE_END_PERIOD());
        vm.expectRevert();
        lease.termOf(token + 1);
    }

    function test_the_connection_is_for_the_owner_it_was_encrypted_to() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.prank(ALICE);
        lease.transferFrom(ALICE, BOB, token);
        vm.prank(PROVISIONER);
        lease.deliver(token, ALICE, "sealed for alice");
        vm.assertEq(lease.deliveredAt(token), NOW);
        vm.assertEq(lease.connectionOf(token), "");
        vm.startPrank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, token, ALICE));
        lease.publishConnection(token, ALICE, "sealed for alice");
        vm.expectEmit(address(lease));
        emit ConnectionPublished(token, "sealed for bob");
        lease.publishConnection(token, BOB, "sealed for bob");
        vm.expectRevert(abi.encodeWithSelector(TooLong.selector, 2049, 2048));
        lease.publishConnection(token, BOB, new bytes(2049));
        vm.stopPrank();
        vm.assertEq(lease.connectionOf(token), "sealed for bob");
        vm.prank(BOB);
        lease.transferFrom(BOB, ALICE, token);
        vm.assertEq(lease.connectionOf(token), "");
    }
}
