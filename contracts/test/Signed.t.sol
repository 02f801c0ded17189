// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, Permit, Purchase} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {Signing} from "./support/Signing.sol";
import {vm} from "./support/Vm.sol";

/// @title Purchases that are paid by a signature: whoever sees one in the pool can only complete what was signed
contract SignedTest is Shop {
    uint256 private constant DORA_KEY = 0xD02A;
    address private dora;

    function setUp() public override {
        super.setUp();
        dora = vm.addr(DORA_KEY);
        coin.transfer(dora, 100 * HOUR * PRICE);
    }

    // --- permit --------------------------------------------------------------------------------------------------

    function test_a_permit_pays_in_the_same_call() public {
        Permit memory signed = _permit(HOUR * PRICE);
        vm.prank(dora);
        uint256 token = lease.mintWithPermit(purchase(2, dora, HOUR), signed);
        vm.assertEq(lease.ownerOf(token), dora);
        vm.assertEq(coin.balanceOf(dora), 99 * HOUR * PRICE);
    }

    function test_a_permit_used_by_somebody_else_before_hinders_nothing() public {
        Permit memory signed = _permit(HOUR * PRICE);
        vm.prank(CAROL);
        coin.permit(dora, address(lease), signed.value, signed.deadline, signed.v, signed.r, signed.s);
        vm.prank(dora);
        uint256 token = lease.mintWithPermit(purchase(2, dora, HOUR), signed);
        vm.assertEq(lease.ownerOf(token), dora);
        vm.assertEq(coin.allowance(dora, address(lease)), 0);
    }

    function test_somebody_elses_permit_pays_nothing_of_ones_own() public {
        Permit memory signed = _permit(HOUR * PRICE);
        address thief = address(0xBAD);
        vm.prank(thief);
        vm.expectRevert();
        lease.mintWithPermit(purchase(2, thief, HOUR), signed);
        vm.assertEq(coin.balanceOf(dora), 100 * HOUR * PRICE);
    }

    function test_a_permit_renews_for_no_more_than_the_caller_accepts_however_much_it_permits() public {
        uint256 token = bought(2, ALICE, HOUR);
        Permit memory signed = _permit(type(uint256).max);
        vm.prank(dora);
        vm.expectRevert(abi.encodeWithSelector(PriceAboveMaximum.selector, HOUR * PRICE, HOUR * PRICE - 1));
        lease.renewWithPermit(token, HOUR, HOUR * PRICE - 1, signed);
        vm.prank(dora);
        lease.renewWithPermit(token, HOUR, HOUR * PRICE, signed);
        vm.assertEq(lease.expiresAt(token), NOW + 2 * HOUR);
        vm.assertEq(coin.balanceOf(dora), 99 * HOUR * PRICE);
    }

    function test_a_permit_pays_for_no_upgrade_that_the_owner_asked_for_just_before() public {
        createPlan(larger(address(coin)));
        uint256 token = bought(2, ALICE, HOUR);
        vm.prank(ALICE);
        lease.requestUpgrade(token, 3, type(uint256).max);
        Permit memory signed = _permit(type(uint256).max);
        vm.prank(dora);
        vm.expectRevert(abi.encodeWithSelector(PriceAboveMaximum.selector, 3 * HOUR * PRICE, HOUR * PRICE));
        lease.renewWithPermit(token, HOUR, HOUR * PRICE, signed);
        vm.assertEq(coin.balanceOf(dora), 100 * HOUR * PRICE);
    }

    function test_a_permit_for_less_than_the_price_renews_nothing() public {
        uint256 token = bought(2, ALICE, HOUR);
        Permit memory low = _permit(HOUR * PRICE - 1);
        vm.prank(dora);
        vm.expectRevert();
        lease.renewWithPermit(token, HOUR, HOUR * PRICE, low);
        vm.assertEq(lease.expiresAt(token), NOW + HOUR);
        vm.assertEq(coin.balanceOf(dora), 100 * HOUR * PRICE);
    }

    function test_a_plan_paid_in_native_coin_takes_no_signature() public {
        Permit memory signed = _permit(1);
        vm.prank(dora);
        vm.expectRevert(abi.encodeWithSelector(NotAToken.selector, NATIVE));
        lease.mintWithPermit(purchase(1, dora, HOUR), signed);
        Purchase memory wanted = purchase(1, dora, HOUR);
        vm.expectRevert(abi.encodeWithSelector(NotAToken.selector, NATIVE));
        lease.mintWithAuthorization(wanted, Authorization(dora, 0, NOW + 1, 0, 0, 0, 0));
    }

    // --- authorization -------------------------------------------------------------------------------------------

    function test_anybody_relays_an_authorization_and_completes_exactly_that_purchase() public {
        Purchase memory wanted = _wanted();
        Authorization memory signed = _authorization(wanted, HOUR * PRICE, "salt");
        vm.prank(CAROL);
        uint256 token = lease.mintWithAuthorization(wanted, signed);
        vm.assertEq(lease.ownerOf(token), dora);
        vm.assertEq(lease.sshKeyOf(token), KEY);
        vm.assertEq(coin.balanceOf(dora), 99 * HOUR * PRICE);
        vm.prank(CAROL);
        vm.expectRevert();
        lease.mintWithAuthorization(wanted, signed);
    }

    function testFuzz_a_changed_purchase_is_not_what_was_signed(uint8 which, uint256 noise) public {
        Purchase memory wanted = _wanted();
        Authorization memory signed = _authorization(wanted, HOUR * PRICE, "salt");
        which = uint8(bound(which, 0, 8));
        if (which == 0) wanted.planId = createPlan(offer(address(coin)));
        if (which == 1) wanted.recipient = CAROL;
        if (which == 2) wanted.duration = HOUR + uint64(bound(noise, 1, HOUR));
        if (which == 3) wanted.maxAmount = bound(noise, HOUR * PRICE + 1, type(uint256).max - 1);
        if (which == 4) wanted.deadline = bound(noise, block.timestamp + 1, type(uint256).max);
        if (which == 5) wanted.sshKey = "ssh-ed25519 AAAA mallory";
        if (which == 6) wanted.encryptionKey = abi.encode(noise);
        if (which == 7) signed.salt = bytes32(noise);
        if (which == 8) signed.from = ALICE;
        vm.prank(CAROL);
        vm.expectRevert();
        lease.mintWithAuthorization(wanted, signed);
        vm.assertEq(coin.balanceOf(dora), 100 * HOUR * PRICE);
    }

    function test_an_authorization_is_of_no_use_without_the_lease_contract() public {
        Purchase memory wanted = _wanted();
        Authorization memory signed = _authorization(wanted, HOUR * PRICE, "salt");
        bytes32 nonce = lease.authorizationNonce(wanted, "salt");
        vm.prank(CAROL);
        vm.expectRevert();
        coin.receiveWithAuthorization(
            dora,
            address(lease),
            HOUR * PRICE,
            0,
            signed.validBefore,
            nonce,
            signed.v,
            signed.r,
            signed.s
        );
    }

    function test_a_price_that_changed_is_not_what_was_signed() public {
        Purchase memory wanted = _wanted();
        Authorization memory signed = _authorization(wanted, HOUR * PRICE, "salt");
        vm.prank(ADMIN);
        lease.setTerms(2, PRICE + 1, 0, true);
        vm.prank(CAROL);
        vm.expectRevert();
        lease.mintWithAuthorization(wanted, signed);
    }

    // --- inside --------------------------------------------------------------------------------------------------

    function _wanted() private view returns (Purchase memory wanted) {
        wanted = purchase(2, dora, HOUR);
        wanted.sshKey = KEY;
        wanted.encryptionKey = hex"0102";
    }

    function _permit(uint256 value) private view returns (Permit memory) {
        return Signing.permit(lease, coin, DORA_KEY, value);
    }

    function _authorization(
        Purchase memory wanted,
        uint256 value,
        bytes32 salt
    ) private view returns (Authorization memory) {
        return Signing.authorization(lease, coin, DORA_KEY, wanted, value, salt);
    }
}
