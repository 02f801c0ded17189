// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title How a delivered lease ends, and where its money goes then
contract EndingTest is Shop {
    function testFuzz_collected_is_exactly_the_elapsed_part(uint64 duration, uint64[5] calldata waits) public {
        duration = uint64(bound(duration, 60, 1096 days));
        uint256 token = bought(1, ALICE, duration);
        for (uint256 i = 0; i < waits.length; ++i) {
            skip(bound(waits[i], 0, duration / 3));
            collect(token);
            uint256 elapsed = block.timestamp - NOW;
            vm.assertEq(pot(NATIVE), (elapsed < duration ? elapsed : duration) * PRICE);
        }
    }

    function testFuzz_an_early_end_gives_the_unused_rest_less_the_fee(uint64 duration, uint64 waited) public {
        duration = uint64(bound(duration, 2 days, 1096 days));
        waited = uint64(bound(waited, 1, duration - 1));
        uint256 token = bought(2, ALICE, duration);
        skip(waited);
        vm.prank(ALICE);
        lease.end(token);
        uint256 rest = (uint256(duration) - waited) * PRICE;
        uint256 fee = waited < 24 hours ? 0 : (rest * FEE) / 10_000;
        vm.assertEq(lease.creditOf(address(coin), ALICE), rest - fee);
        vm.assertEq(pot(address(coin)), uint256(waited) * PRICE + fee);
        vm.assertEq(lease.expiresAt(token), block.timestamp);
        vm.assertEq(coin.balanceOf(address(lease)), uint256(duration) * PRICE);
    }

    function test_an_end_can_be_regretted_within_the_grace() public {
        uint256 token = bought(1, ALICE, HOUR);
        skip(100);
        vm.startPrank(ALICE);
        lease.end(token);
        vm.expectRevert(abi.encodeWithSelector(AlreadyExpired.selector, token, block.timestamp));
        lease.end(token);
        vm.stopPrank();
        skip(10);
        renew(token, BOB, HOUR);
        vm.assertEq(lease.expiresAt(token), block.timestamp + HOUR);
    }

    function test_the_admin_cancels_a_delivered_lease_for_good_and_the_rest_goes_back() public {
        uint256 token = bought(1, ALICE, 100 * HOUR);
        skip(50 * HOUR);
        vm.prank(PROVISIONER);
        vm.expectRevert();
        lease.cancelDelivered(token);
        vm.prank(ADMIN);
        lease.cancelDelivered(token);
        vm.assertEq(lease.creditOf(NATIVE, ALICE), 50 * HOUR * PRICE);
        vm.assertEq(pot(NATIVE), 50 * HOUR * PRICE);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(LeaseClosed.selector, token));
        lease.renewSubscription{value: 1 ether}(token, HOUR);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(LeaseClosed.selector, token));
        lease.allowRenewal(token);
        vm.startPrank(ALICE);
        lease.cancelSubscription(token);
        vm.expectEmit(address(lease));
        emit RenewalsAllowed(token, false);
        lease.transferFrom(ALICE, BOB, token);
        vm.stopPrank();
        vm.assertTrue(!lease.isRenewable(token), "a transfer opens nothing that the admin closed");
    }

    function test_an_undelivered_lease_is_not_the_admins_to_cancel() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.prank(ADMIN);
        vm.expectRevert(abi.encodeWithSelector(NotDelivered.selector, token));
        lease.cancelDelivered(token);
    }

    function test_the_owner_burns_after_expiry_and_the_provisioner_after_the_grace() public {
        uint256 mine = bought(1, ALICE, HOUR);
        uint256 left = bought(1, ALICE, HOUR);
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotExpired.selector, mine, NOW + HOUR));
        lease.burn(mine);
        skip(HOUR);
        vm.prank(ALICE);
        lease.burn(mine);
        vm.prank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(NotExpired.selector, left, NOW + HOUR + GRACE));
        lease.burn(left);
        skip(GRACE);
        vm.prank(BOB);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, left, BOB));
        lease.burn(left);
        vm.prank(PROVISIONER);
        lease.burn(left);
        vm.assertEq(pot(NATIVE), 2 * HOUR * PRICE);
        vm.assertEq(lease.plan(1).live, 0);
        vm.expectRevert(abi.encodeWithSelector(IERC721Errors.ERC721NonexistentToken.selector, left));
        lease.expiresAt(left);
    }

    function test_a_burned_lease_stops_no_collection() public {
        uint256 gone = bought(1, ALICE, HOUR);
        uint256 there = bought(1, BOB, 2 * HOUR);
        skip(HOUR);
        vm.prank(ALICE);
        lease.burn(gone);
        uint256[] memory tokens = new uint256[](4);
        (tokens[0], tokens[1], tokens[2], tokens[3]) = (gone, there, 99, there);
        vm.startPrank(TREASURER);
        lease.collect(tokens);
        vm.assertEq(pot(NATIVE), 2 * HOUR * PRICE);
        lease.withdraw(NATIVE, payable(CAROL), 2 * HOUR * PRICE);
        vm.expectRevert(abi.encodeWithSelector(NotOwed.selector, 0, 1));
        lease.withdraw(NATIVE, payable(CAROL), 1);
        vm.stopPrank();
        vm.assertEq(address(lease).balance, HOUR * PRICE);
    }
}
