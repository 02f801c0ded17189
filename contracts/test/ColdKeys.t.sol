// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {Thief} from "./support/Thief.sol";
import {vm} from "./support/Vm.sol";

/// @title The admin's or the treasurer's key in a thief's hands
/// @notice The admin's gives him every role and takes them from everybody else, for good: nobody can undo it. What is an
/// owner's in a second is his after any call in that second, and he gets it out without anybody's help.
contract ColdKeysTest is Thief {
    /// @dev What is whose: unused time, money set aside and credits of the two owners; and all that is the thief's, with
    /// what was earned, which he can take.
    struct Books {
        uint256 alice;
        uint256 bob;
        uint256 his;
    }

    uint256 private constant LEASES = 4;

    function test_whoever_has_every_role_takes_nothing_that_is_an_owners_by_any_function_at_any_state() public {
        _tryEverywhere();
        _everyRoleWasUsed();
    }

    /// @dev A call of its own, so that its memory is given back.
    function tried(State state, uint256 plan) external override returns (bytes32[] memory went) {
        uint256 token = _reach(state, plan);
        bought(plan, BOB, 100 * HOUR);
        _steal();
        went = new bytes32[](_functions.length);
        for (uint256 i = 0; i < _functions.length; ++i) {
            (bytes[] memory calls, bool pays) = _calls(_functions[i], token, plan);
            for (uint256 j = 0; j < calls.length; ++j) {
                uint256 before = vm.snapshotState();
                if (_call(calls[j], pays ? 1e12 : 0)) went[i] = keccak256(bytes(_functions[i]));
                vm.revertToState(before);
            }
        }
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_whatever_he_does_in_whatever_order_owners_take_out_all_that_is_theirs(uint256 seed) public {
        uint256 plan = 1 + (seed % 2);
        for (uint256 i = 0; i < LEASES; ++i) {
            seed = _next(seed);
            _reach(State(seed % (uint256(type(State).max) + 1)), plan);
        }
        bought(plan, BOB, 100 * HOUR);
        _steal();
        for (uint256 i = 0; i < 24; ++i) {
            seed = _next(seed);
            uint256 token = 1 + ((seed >> 64) % lease.lastTokenId());
            (bytes[] memory calls, bool pays) = _calls(_functions[seed % _functions.length], token, plan);
            _call(calls[(seed >> 128) % calls.length], pays && seed % 5 != 0 ? 1e12 : 0);
            skip((seed >> 192) % HOUR);
        }
        _everybodyLeaves();
    }

    function test_a_stolen_treasurer_key_takes_what_time_has_earned_and_nothing_else() public {
        uint256 running = bought(1, ALICE, 10 * HOUR);
        uint256 waiting = buy(1, BOB, HOUR);
        skip(4 * HOUR);
        collect(running);
        collect(waiting);
        vm.startPrank(TREASURER);
        lease.withdraw(NATIVE, payable(THIEF), 4 * HOUR * PRICE);
        vm.expectRevert(abi.encodeWithSelector(NotOwed.selector, 0, 1));
        lease.withdraw(NATIVE, payable(THIEF), 1);
        bytes[6] memory calls = [
            abi.encodeCall(lease.cancelDelivered, (running)),
            abi.encodeCall(lease.deliver, (waiting, BOB, "")),
            abi.encodeCall(lease.cancelUndelivered, (waiting)),
            abi.encodeCall(lease.setTerms, (1, 1, 0, true)),
            abi.encodeCall(lease.setSalesPaused, (true)),
            abi.encodeCall(lease.grantRole, (lease.PROVISIONER_ROLE(), TREASURER))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.expectPartialRevert(IAccessControl.AccessControlUnauthorizedAccount.selector);
            (bool done, ) = address(lease).call(calls[i]);
            vm.assertTrue(done, "another error");
        }
        vm.stopPrank();
        vm.prank(ALICE);
        lease.end(running);
        vm.prank(BOB);
        lease.refund(waiting);
        vm.assertEq(lease.creditOf(NATIVE, ALICE), 6 * HOUR * PRICE);
        vm.assertEq(lease.creditOf(NATIVE, BOB), HOUR * PRICE);
        _takesOut(ALICE);
        _takesOut(BOB);
        vm.assertEq(address(lease).balance, 0);
    }

    // --- the thief -----------------------------------------------------------------------------------------------

    /// @dev The first thing to do with the admin's key: have everything, and leave nobody who could undo it.
    function _steal() private {
        (bytes32 admin, bytes32 treasurer) = (lease.DEFAULT_ADMIN_ROLE(), lease.TREASURER_ROLE());
        vm.startPrank(ADMIN);
        lease.grantRole(treasurer, THIEF);
        lease.revokeRole(treasurer, TREASURER);
        lease.grantRole(admin, THIEF);
        lease.renounceRole(admin, ADMIN);
        vm.stopPrank();
    }

    function _call(bytes memory data, uint256 value) private returns (bool done) {
        Books memory before = _books();
        vm.prank(THIEF);
        (done, ) = address(lease).call{value: value}(data);
        Books memory books = _books();
        vm.assertGe(books.alice, before.alice, "he took what is Alice's");
        vm.assertGe(books.bob, before.bob, "he took what is Bob's");
        vm.assertLe(books.his, before.his, "he became richer than time made him");
    }

    /// @dev So that the test is about calls that the contract lets through.
    function _everyRoleWasUsed() private view {
        string[12] memory may = [
            "createPlan((string,uint8,uint32,uint32,uint32,uint64,uint64,uint16,address,uint128,uint32))",
            "setTerms(uint256,uint128,uint32,bool)",
            "setSalesPaused(bool)",
            "cancelDelivered(uint256)",
            "grantRole(bytes32,address)",
            "revokeRole(bytes32,address)",
            "collect(uint256[])",
            "withdraw(address,address,uint256)",
            "deliver(uint256,address,bytes)",
            "cancelUndelivered(uint256)",
            "completeUpgrade(uint256,uint256,uint256)",
            "burn(uint256)"
        ];
        for (uint256 i = 0; i < may.length; ++i) {
            vm.assertTrue(_worked[keccak256(bytes(may[i]))], string.concat("he may, and did not: ", may[i]));
        }
    }

    // --- the owners ----------------------------------------------------------------------------------------------

    /// @dev Everything is ended in one second, so that what is whose stands still; what was not delivered, once it may.
    function _everybodyLeaves() private {
        Books memory books = _books();
        for (uint256 id = 1; id <= lease.lastTokenId(); ++id) {
            address owner = _ownerOf(id);
            if ((owner != ALICE && owner != BOB) || lease.deliveredAt(id) == 0) continue;
            bool runs = block.timestamp < lease.expiresAt(id);
            uint256 fee = runs ? _fee(id) : 0;
            if (owner == ALICE) books.alice -= fee;
            else books.bob -= fee;
            vm.prank(owner);
            if (runs) lease.end(id);
            else lease.burn(id);
        }
        skip(DELIVERY);
        for (uint256 id = 1; id <= lease.lastTokenId(); ++id) {
            address owner = _ownerOf(id);
            if ((owner != ALICE && owner != BOB) || lease.deliveredAt(id) != 0) continue;
            vm.prank(owner);
            lease.refund(id);
        }
        vm.assertEq(_takesOut(ALICE), books.alice, "Alice has not all that is hers");
        vm.assertEq(_takesOut(BOB), books.bob, "Bob has not all that is his");
    }

    /// @dev What an end costs by what was announced when the plan was made: nobody can change it.
    function _fee(uint256 id) private view returns (uint256) {
        (, uint64 freeUntil) = lease.termOf(id);
        (, uint256 unused, ) = lease.escrowOf(id);
        return block.timestamp < freeUntil ? 0 : (unused * FEE) / 10_000;
    }

    function _takesOut(address owner) private returns (uint256 taken) {
        address[2] memory moneys = [NATIVE, address(coin)];
        uint256 had = owner.balance + coin.balanceOf(owner);
        for (uint256 i = 0; i < 2; ++i) {
            if (lease.creditOf(moneys[i], owner) == 0) continue;
            vm.prank(owner);
            taken += lease.claim(moneys[i], payable(owner));
        }
        vm.assertEq(owner.balance + coin.balanceOf(owner) - had, taken);
    }

    // --- what there is -------------------------------------------------------------------------------------------

    function _books() private view returns (Books memory books) {
        books.alice = _credits(ALICE);
        books.bob = _credits(BOB);
        uint256 wallet = THIEF.balance + coin.balanceOf(THIEF);
        books.his = wallet + _credits(THIEF) + pot(NATIVE) + pot(address(coin));
        for (uint256 id = 1; id <= lease.lastTokenId(); ++id) {
            address owner = _ownerOf(id);
            if (owner == address(0)) continue;
            (uint256 earned, uint256 unused, uint256 aside) = lease.escrowOf(id);
            books.his += earned;
            if (owner == ALICE) books.alice += unused + aside;
            else if (owner == BOB) books.bob += unused + aside;
            else books.his += unused + aside;
        }
        uint256 there = address(lease).balance + coin.balanceOf(address(lease));
        vm.assertEq(books.alice + books.bob + books.his, there + wallet, "money was lost or found");
    }

    function _credits(address account) private view returns (uint256) {
        return lease.creditOf(NATIVE, account) + lease.creditOf(address(coin), account);
    }

    function _ownerOf(uint256 id) private view returns (address) {
        try lease.ownerOf(id) returns (address owner) {
            return owner;
        } catch {
            return address(0);
        }
    }

    function _next(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }
}
