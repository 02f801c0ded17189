// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Thief} from "./support/Thief.sol";
import {vm} from "./support/Vm.sol";

/// @title The provisioner's key in a thief's hands: every function there is, at every state of a lease
/// @notice Functions are taken from the compiled contract; one for which nobody wrote a call fails the test. Money is
/// counted from balances, credits and escrows before and after each call.
contract HotKeyTest is Thief {
    /// @dev What a thief could want to change of one lease.
    struct Held {
        bool exists;
        address owner;
        uint256 expiration;
        uint256 deliveredAt;
        bool renewable;
        uint256 earned;
        uint256 there;
    }

    uint256 private constant LEASES = 4;

    function test_every_function_at_every_state_moves_no_money_away_and_ends_no_delivered_lease() public {
        _tryEverywhere();
        _onlyWhatItMayWorked();
    }

    /// @dev A call of its own, so that its memory is given back.
    function tried(State state, uint256 plan) external override returns (bytes32[] memory went) {
        uint256 token = _reach(state, plan);
        bought(plan, BOB, 100 * HOUR);
        went = new bytes32[](_functions.length);
        for (uint256 i = 0; i < _functions.length; ++i) {
            if (_try(_functions[i], token, plan)) went[i] = keccak256(bytes(_functions[i]));
        }
    }

    /// forge-config: default.fuzz.runs = 64
    function testFuzz_whatever_it_does_in_whatever_order_it_gets_nothing(uint256 seed) public {
        uint256 plan = 1 + (seed % 2);
        for (uint256 i = 0; i < LEASES; ++i) {
            seed = _next(seed);
            _reach(State(seed % (uint256(type(State).max) + 1)), plan);
        }
        for (uint256 i = 0; i < 24; ++i) {
            seed = _next(seed);
            uint256 token = 1 + ((seed >> 64) % (lease.lastTokenId() + 1));
            (bytes[] memory calls, bool pays) = _calls(_functions[seed % _functions.length], token, plan);
            uint256 value = pays && seed % 5 != 0 ? 1e12 : 0;
            _call(calls[(seed >> 128) % calls.length], value, token);
            skip((seed >> 192) % HOUR);
        }
    }

    // --- one call ------------------------------------------------------------------------------------------------

    function _try(string memory signature, uint256 token, uint256 plan) private returns (bool went) {
        (bytes[] memory calls, bool pays) = _calls(signature, token, plan);
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 value = 0; value <= (pays ? 1e12 : 0); value += 1e12) {
                uint256 before = vm.snapshotState();
                went = _call(calls[i], value, token) || went;
                vm.revertToState(before);
            }
        }
    }

    /// @dev Makes a call as the thief and holds everything that matters against what was before.
    function _call(bytes memory data, uint256 value, uint256 token) private returns (bool done) {
        Held memory was = _held(token);
        Held memory others = _held(lease.lastTokenId());
        uint256[4] memory before = _money(was.owner);
        vm.prank(THIEF);
        (done, ) = address(lease).call{value: value}(data);
        uint256[4] memory money = _money(was.owner);
        vm.assertGe(money[0], before[0], "others' money left the contract");
        vm.assertLe(money[1], before[1], "the thief became richer");
        vm.assertGe(money[2], before[2], "the owner is owed less");
        uint256 earned = was.earned + (others.exists ? others.earned : 0);
        vm.assertLe(money[3], before[3] + earned, "the operator has what was not earned");
        _unharmed(was, token, money[2] - before[2]);
        vm.assertEq(_owed(NATIVE), address(lease).balance);
        vm.assertEq(_owed(address(coin)), coin.balanceOf(address(lease)));
        vm.assertTrue(lease.hasRole(lease.DEFAULT_ADMIN_ROLE(), ADMIN), "the admin is gone");
        vm.assertTrue(lease.hasRole(lease.TREASURER_ROLE(), TREASURER), "the treasurer is gone");
        vm.assertTrue(!lease.hasRole(lease.DEFAULT_ADMIN_ROLE(), THIEF), "the thief is admin");
        vm.assertTrue(!lease.hasRole(lease.TREASURER_ROLE(), THIEF), "the thief is treasurer");
    }

    /// @dev A lease that runs goes on, one that is removed is paid back, and nobody takes it over.
    function _unharmed(Held memory was, uint256 token, uint256 back) private view {
        if (!was.exists) return;
        Held memory now_ = _held(token);
        if (was.deliveredAt != 0 && block.timestamp < was.expiration) {
            vm.assertTrue(now_.exists, "a delivered lease was removed");
            vm.assertGe(now_.expiration, was.expiration, "a delivered lease was cut short");
            vm.assertEq(now_.renewable, was.renewable);
            vm.assertEq(now_.deliveredAt, was.deliveredAt);
        }
        if (now_.exists) vm.assertEq(now_.owner, was.owner);
        else if (was.owner != THIEF) vm.assertEq(back, was.there - was.earned, "not all of it went back");
    }

    /// @dev What went through, so that the test is about calls that the contract lets through; and nothing else may.
    function _onlyWhatItMayWorked() private {
        string[13] memory may = [
            "deliver(uint256,address,bytes)",
            "publishConnection(uint256,address,bytes)",
            "cancelUndelivered(uint256)",
            "completeUpgrade(uint256,uint256,uint256)",
            "refuseUpgrade(uint256,uint256,uint256)",
            "burn(uint256)",
            // what anybody may, with his own money and his own things
            "mint((uint256,address,uint64,uint256,uint256,string,bytes))",
            "mintWithPermit((uint256,address,uint64,uint256,uint256,string,bytes),(uint256,uint256,uint8,bytes32,bytes32))",
            "renew(uint256,uint64,uint256)",
            "renewSubscription(uint256,uint64)",
            "renewWithPermit(uint256,uint64,uint256,(uint256,uint256,uint8,bytes32,bytes32))",
            "renounceRole(bytes32,address)",
            "setApprovalForAll(address,bool)"
        ];
        for (uint256 i = 0; i < may.length; ++i) {
            vm.assertTrue(_worked[keccak256(bytes(may[i]))], string.concat("it may, and did not: ", may[i]));
            _worked[keccak256(bytes(may[i]))] = false;
        }
        for (uint256 i = 0; i < _functions.length; ++i) {
            vm.assertTrue(
                !_worked[keccak256(bytes(_functions[i]))],
                string.concat("the hot key did more than it may: ", _functions[i])
            );
        }
    }

    // --- what there is -------------------------------------------------------------------------------------------

    function _held(uint256 token) private view returns (Held memory held) {
        try lease.ownerOf(token) returns (address owner) {
            (uint256 earned, uint256 unused, uint256 aside) = lease.escrowOf(token);
            held = Held(
                true,
                owner,
                lease.expiresAt(token),
                lease.deliveredAt(token),
                lease.isRenewable(token),
                earned,
                earned + unused + aside
            );
        } catch {}
    }

    /// @dev What is in the contract and not the thief's own; all that is his; an owner's credits, and the operator's.
    function _money(address owner) private view returns (uint256[4] memory) {
        uint256 stake = _stake(THIEF);
        return [
            address(lease).balance + coin.balanceOf(address(lease)) - stake,
            THIEF.balance + coin.balanceOf(THIEF) + stake,
            owner == address(0) ? 0 : _credits(owner),
            pot(NATIVE) + pot(address(coin))
        ];
    }

    function _credits(address account) private view returns (uint256) {
        return lease.creditOf(NATIVE, account) + lease.creditOf(address(coin), account);
    }

    function _owed(address token) private view returns (uint256 owed) {
        address[5] memory accounts = [address(0), ALICE, BOB, CAROL, THIEF];
        for (uint256 i = 0; i < accounts.length; ++i) owed += lease.creditOf(token, accounts[i]);
        for (uint256 i = 1; i <= lease.lastTokenId(); ++i) {
            Held memory held = _held(i);
            if (held.exists && lease.plan(lease.planOf(i)).paymentToken == token) owed += held.there;
        }
    }

    /// @dev What somebody is owed, or has in leases of his own.
    function _stake(address who) private view returns (uint256 stake) {
        stake = _credits(who);
        for (uint256 i = 1; i <= lease.lastTokenId(); ++i) {
            Held memory held = _held(i);
            if (held.owner == who) stake += held.there;
        }
    }

    function _next(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
    }
}
