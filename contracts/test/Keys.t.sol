// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Purchase} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title Who may do what: owners, approved addresses, and each of the operator's keys, stolen
contract KeysTest is Shop {
    function test_a_stolen_hot_key_moves_money_to_its_owners_alone_and_ends_no_delivered_lease() public {
        uint256 delivered = bought(1, ALICE, 10 * HOUR);
        uint256 waiting = buy(1, BOB, HOUR);
        bytes[8] memory calls = [
            abi.encodeCall(lease.cancelDelivered, (delivered)),
            abi.encodeCall(lease.collect, (new uint256[](0))),
            abi.encodeCall(lease.withdraw, (NATIVE, payable(PROVISIONER), 0)),
            abi.encodeCall(lease.setTerms, (1, 1, 0, true)),
            abi.encodeCall(lease.createPlan, (offer(NATIVE))),
            abi.encodeCall(lease.setSalesPaused, (true)),
            abi.encodeCall(lease.grantRole, (lease.TREASURER_ROLE(), PROVISIONER)),
            abi.encodeCall(lease.revokeRole, (lease.DEFAULT_ADMIN_ROLE(), ADMIN))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(PROVISIONER);
            (bool done, bytes memory answer) = address(lease).call(calls[i]);
            vm.assertTrue(!done, "the hot key did more than it may");
            vm.assertEq(
                bytes32(bytes4(bytes32(answer))),
                bytes32(IAccessControl.AccessControlUnauthorizedAccount.selector)
            );
        }
        vm.startPrank(PROVISIONER);
        vm.expectRevert(abi.encodeWithSelector(AlreadyDelivered.selector, delivered, NOW));
        lease.cancelUndelivered(delivered);
        vm.expectRevert(abi.encodeWithSelector(NotExpired.selector, delivered, NOW + 10 * HOUR + GRACE));
        lease.burn(delivered);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, delivered, PROVISIONER));
        lease.end(delivered);
        vm.expectRevert(abi.encodeWithSelector(NotOwed.selector, 0, 1));
        lease.claim(NATIVE, payable(PROVISIONER));
        lease.cancelUndelivered(waiting);
        vm.stopPrank();
        vm.assertEq(lease.creditOf(NATIVE, BOB), HOUR * PRICE);
    }

    function test_a_false_delivery_costs_no_fee() public {
        uint256 token = bought(1, ALICE, 100 * HOUR);
        skip(HOUR);
        vm.prank(ALICE);
        lease.end(token);
        vm.assertEq(lease.creditOf(NATIVE, ALICE), 99 * HOUR * PRICE);
    }

    function test_each_function_has_its_role(address stranger) public {
        vm.assume(stranger != ADMIN && stranger != TREASURER && stranger != PROVISIONER && stranger != ALICE);
        uint256 token = bought(1, ALICE, HOUR);
        bytes[10] memory calls = [
            abi.encodeCall(lease.createPlan, (offer(NATIVE))),
            abi.encodeCall(lease.setTerms, (1, 1, 0, true)),
            abi.encodeCall(lease.setSalesPaused, (true)),
            abi.encodeCall(lease.cancelDelivered, (token)),
            abi.encodeCall(lease.collect, (new uint256[](0))),
            abi.encodeCall(lease.withdraw, (NATIVE, payable(stranger), 0)),
            abi.encodeCall(lease.deliver, (token, ALICE, "")),
            abi.encodeCall(lease.publishConnection, (token, ALICE, "")),
            abi.encodeCall(lease.cancelUndelivered, (token)),
            abi.encodeCall(lease.completeUpgrade, (token, 1, 0))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(stranger);
            (bool done, bytes memory answer) = address(lease).call(calls[i]);
            vm.assertTrue(!done, "a stranger was let in");
            vm.assertEq(
                bytes32(bytes4(bytes32(answer))),
                bytes32(IAccessControl.AccessControlUnauthorizedAccount.selector)
            );
        }
    }

    function test_an_approval_transfers_and_does_nothing_else() public {
        uint256 token = bought(1, ALICE, HOUR);
        vm.prank(ALICE);
        lease.approve(BOB, token);
        bytes[8] memory calls = [
            abi.encodeCall(lease.end, (token)),
            abi.encodeCall(lease.refund, (token)),
            abi.encodeCall(lease.burn, (token)),
            abi.encodeCall(lease.setKeys, (token, KEY, "")),
            abi.encodeCall(lease.cancelSubscription, (token)),
            abi.encodeCall(lease.allowRenewal, (token)),
            abi.encodeCall(lease.requestAction, (token, 1, "")),
            abi.encodeCall(lease.withdrawUpgrade, (token))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(BOB);
            (bool done, bytes memory answer) = address(lease).call(calls[i]);
            vm.assertTrue(!done, "an approved address did what an owner may");
            vm.assertEq(answer, abi.encodeWithSelector(NotLeaseOwner.selector, token, BOB));
        }
        vm.prank(BOB);
        lease.transferFrom(ALICE, BOB, token);
        vm.assertEq(lease.ownerOf(token), BOB);
    }

    function test_keys_are_set_at_the_purchase_and_cleared_by_a_transfer() public {
        Purchase memory wanted = purchase(1, ALICE, HOUR);
        (wanted.sshKey, wanted.encryptionKey) = (KEY, hex"0102");
        vm.prank(ALICE);
        uint256 token = lease.mint{value: HOUR * PRICE}(wanted);
        vm.assertEq(lease.sshKeyOf(token), KEY);
        vm.expectEmit(address(lease));
        emit KeysChanged(token, "", "");
        vm.prank(ALICE);
        lease.transferFrom(ALICE, BOB, token);
        vm.assertEq(lease.sshKeyOf(token), "");
        vm.assertEq(lease.encryptionKeyOf(token), "");
        vm.prank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotLeaseOwner.selector, token, ALICE));
        lease.setKeys(token, KEY, "");
        vm.prank(BOB);
        lease.setKeys(token, "ssh-ed25519 BBBB bob", hex"03");
        vm.assertEq(lease.encryptionKeyOf(token), hex"03");
    }

    function test_a_key_is_one_bounded_printable_line() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.startPrank(ALICE);
        vm.expectRevert(abi.encodeWithSelector(NotPrintable.selector, 4));
        lease.setKeys(token, "ssh \n", "");
        vm.expectRevert(abi.encodeWithSelector(TooLong.selector, 1025, 1024));
        lease.setKeys(token, string(new bytes(1025)), "");
        vm.expectRevert(abi.encodeWithSelector(TooLong.selector, 1025, 1024));
        lease.setKeys(token, "", new bytes(1025));
        lease.setKeys(token, "", new bytes(1024));
    }
}
