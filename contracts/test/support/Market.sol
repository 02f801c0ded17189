// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Lease} from "../../src/Lease.sol";
import {Authorization, Permit, Plan, Purchase, Upgrade} from "../../src/LeaseTypes.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {Books} from "./Books.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";

/// @title Everybody who deals with a lease contract, one deal at a time, in whatever order the fuzzer likes
/// @notice It writes down by itself what was paid for each lease and where that went, from balances and credits before
/// and after each deal, and never asks the contract for a sum. A deal that is allowed must succeed; one that is not must
/// be refused. Plans 1 to 4 are paid in honest money and 5 to 12 in hostile tokens; 3, 4 and 9 to 12 are the larger ones.
contract Market is Books {
    /// @notice How often a token called back and dealt, and how often it found the door locked.
    uint256 public letIn;
    uint256 public lockedOut;

    /// @dev The lease that is being paid for while a token calls back.
    uint256 private _busy;
    /// @dev The lease whose expiry was moved last by what is no renewal.
    uint256 private _moved;

    constructor(Lease lease_, TestToken coin_) Books(lease_, coin_) {}

    // --- deals ---------------------------------------------------------------------------------------------------

    function buy(uint256 planSeed, uint256 who, uint64 duration) external {
        uint256 plan = planSeed % 2 == 0 ? 1 + ((planSeed >> 1) % 4) : 5 + ((planSeed >> 1) % 8);
        Plan memory sold = lease.plan(plan);
        duration = uint64(60 + (duration % 40 days));
        address buyer = people[who % 4];
        uint256 cost = uint256(sold.pricePerSecond) * duration;
        bool allowed = _isSold(sold) && _pays(sold.paymentToken, buyer, cost);
        Purchase memory wanted = Purchase(plan, buyer, duration, cost, block.timestamp, "", "");
        uint256 held = _held(sold.paymentToken);
        _armed(sold.paymentToken, lease.lastTokenId() + 1, abi.encode(planSeed, who, duration));
        vm.prank(buyer);
        try lease.mint{value: sold.paymentToken == address(0) ? cost : 0}(wanted) returns (uint256 token) {
            vm.assertTrue(allowed, "sold what is not on sale, or for less than the price");
            vm.assertEq(_held(sold.paymentToken) - held, cost);
            accounts[token].paid = cost;
            accounts[token].highestPrice = sold.pricePerSecond;
        } catch {
            vm.assertTrue(!allowed, "a sale was refused");
        }
        _disarmed(sold.paymentToken);
    }

    /// @dev By a permit of the buyer's, or by an authorization that somebody else relays.
    function buySigned(uint256 planSeed, uint256 who, uint64 duration, bool relayed, bytes32 salt) external {
        uint256 plan = 2 + 2 * (planSeed % 2);
        Plan memory sold = lease.plan(plan);
        if (!_isSold(sold)) return;
        duration = uint64(60 + (duration % 40 days));
        uint256 cost = uint256(sold.pricePerSecond) * duration;
        Purchase memory wanted = Purchase(plan, people[who % 4], duration, cost, block.timestamp, "", "");
        if (coin.authorizationState(wanted.recipient, lease.authorizationNonce(wanted, salt))) return;
        uint256 held = coin.balanceOf(wanted.recipient);
        uint256 token = relayed ? _relay(wanted, who, salt) : _permitted(wanted, who);
        vm.assertEq(held - coin.balanceOf(wanted.recipient), cost);
        vm.assertEq(lease.ownerOf(token), wanted.recipient);
        accounts[token].paid = cost;
        accounts[token].highestPrice = sold.pricePerSecond;
    }

    function _relay(Purchase memory wanted, uint256 who, bytes32 salt) private returns (uint256) {
        Authorization memory signed = Signing.authorization(lease, coin, 1 + (who % 4), wanted, wanted.maxAmount, salt);
        vm.prank(people[((who % 4) + 1) % 4]);
        return lease.mintWithAuthorization(wanted, signed);
    }

    function _permitted(Purchase memory wanted, uint256 who) private returns (uint256) {
        Permit memory signed = Signing.permit(lease, coin, 1 + (who % 4), type(uint256).max);
        vm.prank(wanted.recipient);
        return lease.mintWithPermit(wanted, signed);
    }

    function renew(uint256 seed, uint256 who, uint64 duration) external {
        uint256 token = _pick(seed);
        if (token == 0) return;
        duration = uint64(60 + (duration % 20 days));
        uint256 price = lease.priceOf(token);
        Before memory before = _before(token);
        bool allowed = lease.isRenewable(token) && _pays(before.coinOf, people[who % 4], price * duration);
        uint256 held = _held(before.coinOf);
        _armed(before.coinOf, token, abi.encode(seed, who, duration));
        vm.prank(people[who % 4]);
        try lease.renewSubscription{value: before.coinOf == address(0) ? price * duration : 0}(token, duration) {
            vm.assertTrue(allowed, "renewed after the grace, or for less than the price");
            if (_moved != token) {
                vm.assertGe(lease.expiresAt(token), before.expiration, "a renewal moved an expiry back");
            }
            vm.assertEq(_held(before.coinOf) - held, price * duration);
            accounts[token].paid += price * duration;
            bool idle = lease.deliveredAt(token) != 0 && block.timestamp > before.expiration;
            if (idle) accounts[token].since += block.timestamp - before.expiration;
            _atMost(token, price);
            _written(token, before);
        } catch {
            vm.assertTrue(!allowed || _isFar(token, before, duration), "a renewal was refused");
        }
        _disarmed(before.coinOf);
    }

    function deliver(uint256 seed) external {
        uint256 token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) != 0 || block.timestamp >= lease.expiresAt(token)) return;
        address owner = lease.ownerOf(token);
        vm.prank(PROVISIONER);
        lease.deliver(token, owner, "sealed");
        accounts[token].since = block.timestamp;
        _moved = token;
    }

    function cancelOrRefund(uint256 seed, bool byOwner) external {
        uint256 token = _pick(seed);
        if (token == 0 || token == _busy || lease.deliveredAt(token) != 0) return;
        Before memory before = _before(token);
        if (byOwner && block.timestamp < before.expiration) return;
        vm.prank(byOwner ? before.owner : PROVISIONER);
        if (byOwner) lease.refund(token);
        else lease.cancelUndelivered(token);
        _written(token, before);
        vm.assertEq(accounts[token].returned, accounts[token].paid, "a lease that was never delivered cost something");
    }

    function end(uint256 seed, bool byAdmin) external {
        uint256 token = _running(seed);
        if (token == 0) return;
        Before memory before = _before(token);
        (, uint256 unused, ) = lease.escrowOf(token);
        uint256 most = (unused * lease.plan(lease.planOf(token)).endFee) / 10_000;
        vm.prank(byAdmin ? ADMIN : before.owner);
        if (byAdmin) lease.cancelDelivered(token);
        else lease.end(token);
        if (!byAdmin) accounts[token].fees += most;
        _moved = token;
        _written(token, before);
    }

    function burn(uint256 seed, bool byOwner) external {
        uint256 token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) == 0) return;
        Before memory before = _before(token);
        uint256 grace = lease.plan(lease.planOf(token)).grace;
        bool allowed = block.timestamp >= before.expiration + (byOwner ? 0 : grace);
        vm.prank(byOwner ? before.owner : PROVISIONER);
        try lease.burn(token) {
            vm.assertTrue(allowed, "burned too early");
            _written(token, before);
        } catch {
            vm.assertTrue(!allowed, "a burn was refused");
        }
    }

    function collect(uint256 seed) external {
        uint256 token = _pick(seed);
        if (token == 0) return;
        Before memory before = _before(token);
        (uint256 earned, uint256 unused, ) = lease.escrowOf(token);
        uint256[] memory tokens = new uint256[](1);
        tokens[0] = token;
        vm.prank(TREASURER);
        lease.collect(tokens);
        _written(token, before);
        vm.assertEq(lease.creditOf(before.coinOf, address(0)) - before.pot, earned);
        (, uint256 left, ) = lease.escrowOf(token);
        vm.assertEq(left, unused, "collecting took what is not elapsed");
    }

    /// @dev To an address of choice.
    function takeOut(uint256 who, uint256 to, uint256 which) external {
        (address money, address account, address target) = (moneys[which % 6], people[who % 4], people[to % 4]);
        uint256 credit = lease.creditOf(money, account);
        if (credit == 0) return;
        bool allowed = _moves(money, address(lease), target);
        uint256 held = _held(money);
        _armed(money, 0, abi.encode(who, to, which));
        vm.prank(account);
        try lease.claim(money, payable(target)) {
            vm.assertTrue(allowed, "a token paid whom it blocks");
            vm.assertEq(held - _held(money), credit);
        } catch {
            vm.assertTrue(!allowed, "a claim was refused");
        }
        _disarmed(money);
    }

    function withdraw(uint256 which, uint256 part) external {
        address money = moneys[which % 6];
        uint256 amount = part % (lease.creditOf(money, address(0)) + 1);
        bool allowed = _moves(money, address(lease), TREASURER);
        uint256 held = _held(money);
        _armed(money, 0, abi.encode(which, part));
        vm.prank(TREASURER);
        try lease.withdraw(money, payable(TREASURER), amount) {
            vm.assertTrue(allowed, "a token paid whom it blocks");
            vm.assertEq(held - _held(money), amount);
        } catch {
            vm.assertTrue(!allowed, "a withdrawal was refused");
        }
        _disarmed(money);
    }

    function transfer(uint256 seed, uint256 who) external {
        uint256 token = _pick(seed);
        if (token == 0) return;
        address owner = lease.ownerOf(token);
        vm.prank(owner);
        lease.transferFrom(owner, people[who % 4], token);
    }

    function decline(uint256 seed) external {
        uint256 token = _pick(seed);
        if (token == 0) return;
        address owner = lease.ownerOf(token);
        vm.prank(owner);
        lease.cancelSubscription(token);
    }

    function upgrade(uint256 seed) external {
        uint256 token = _running(seed);
        uint256 plan = token == 0 ? 0 : _larger(lease.planOf(token));
        if (plan == 0 || lease.upgradeOf(token).planId != 0) return;
        Plan memory wanted = lease.plan(plan);
        if (lease.salesPaused() || !wanted.onSale || (wanted.cap != 0 && wanted.live >= wanted.cap)) return;
        Before memory before = _before(token);
        uint256 held = _held(before.coinOf);
        vm.deal(before.owner, type(uint128).max);
        _armed(before.coinOf, token, abi.encode(seed, plan));
        uint256 value = before.coinOf == address(0) ? type(uint96).max : 0;
        vm.prank(before.owner);
        try lease.requestUpgrade{value: value}(token, plan, type(uint256).max) {
            vm.assertTrue(_moves(before.coinOf, before.owner, address(lease)), "upgraded for nothing");
            accounts[token].paid += _held(before.coinOf) - held;
            _atMost(token, wanted.pricePerSecond);
            _written(token, before);
        } catch {
            vm.assertTrue(!_pays(before.coinOf, before.owner, type(uint128).max), "an upgrade was refused");
        }
        _disarmed(before.coinOf);
    }

    function finishUpgrade(uint256 seed, uint8 how) external {
        uint256 token = _pick(seed);
        if (token == 0) return;
        Upgrade memory wanted = lease.upgradeOf(token);
        if (wanted.planId == 0) return;
        Before memory before = _before(token);
        bool late = block.timestamp >= wanted.deadline;
        if (how % 3 == 0 && !late && block.timestamp < before.expiration) {
            vm.prank(PROVISIONER);
            lease.completeUpgrade(token, wanted.planId, wanted.deadline);
        } else if (how % 3 == 1 && late) {
            vm.prank(before.owner);
            lease.withdrawUpgrade(token);
        } else {
            vm.prank(PROVISIONER);
            lease.refuseUpgrade(token, wanted.planId, wanted.deadline);
        }
        _written(token, before);
    }

    function setTerms(uint256 plan, uint128 price, uint32 cap, bool onSale) external {
        plan = 1 + (plan % lease.planCount());
        vm.prank(ADMIN);
        lease.setTerms(plan, 1 + (price % 10_000), cap % 20, onSale);
    }

    function pause(bool paused) external {
        vm.prank(ADMIN);
        lease.setSalesPaused(paused);
    }

    function wait(uint256 time, uint8 scale) external {
        uint256[4] memory scales = [uint256(1 minutes), 1 hours, 1 days, 20 days];
        vm.warp(block.timestamp + (time % scales[scale % 4]));
    }

    // --- deals within deals --------------------------------------------------------------------------------------

    /// @notice What a token does that is called while it is paid: whatever is let in, or what must not be.
    function calledBack(uint256 seed) external {
        vm.assertTrue(msg.sender == address(again), "only the reentrant token calls back");
        uint256 which = seed % 8;
        uint256 next = seed >> 8;
        if (which < 2) {
            _triesTheDoor(next);
            ++lockedOut;
            return;
        }
        uint256 last = lease.lastTokenId();
        if (which == 2) this.deliver(next);
        else if (which == 3) this.collect(next);
        else if (which == 4) this.transfer(next, next >> 64);
        else if (which == 5) this.end(next, (next >> 64) % 2 == 0);
        else if (which == 6) this.finishUpgrade(next, uint8(next >> 64));
        else this.cancelOrRefund(next, (next >> 64) % 2 == 0);
        if (last != 0 && (which == 3 || which == 4)) ++letIn; // these find something to do wherever there is a lease
    }

    function _triesTheDoor(uint256 seed) private {
        uint256 token = _pick(seed);
        address who = token == 0 ? people[0] : lease.ownerOf(token);
        Purchase memory wanted = Purchase(1 + (seed % 12), who, 60, type(uint256).max, block.timestamp, "", "");
        bytes[5] memory calls = [
            abi.encodeCall(lease.mint, (wanted)),
            abi.encodeCall(lease.renewSubscription, (token, 60)),
            abi.encodeCall(lease.requestUpgrade, (token, 3, type(uint256).max)),
            abi.encodeCall(lease.claim, (moneys[seed % 6], payable(who))),
            abi.encodeCall(lease.withdraw, (moneys[seed % 6], payable(who), 1))
        ];
        for (uint256 i = 0; i < 5; ++i) {
            vm.prank(i == 4 ? TREASURER : who);
            (bool done, bytes memory answer) = address(lease).call(calls[i]);
            vm.assertTrue(!done, "money moved while money moved");
            vm.assertEq(
                bytes32(answer),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
    }

    /// @dev Whatever moves the reentrant token next has it call back once, with `token` being paid for.
    function _armed(address money, uint256 token, bytes memory seed) private {
        (_busy, _moved) = (token, 0);
        if (money != address(again)) return;
        again.attack(address(this), abi.encodeCall(this.calledBack, (uint256(keccak256(seed)))));
    }

    /// @dev The token swallows what fails inside; this does not.
    function _disarmed(address money) private {
        _busy = 0;
        if (money != address(again)) return;
        if (again.tried()) vm.assertTrue(again.entered(), string.concat("while called back: ", string(again.answer())));
        again.attack(address(0), "");
    }

    // --- inside --------------------------------------------------------------------------------------------------

    function _running(uint256 seed) private view returns (uint256 token) {
        token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) == 0 || block.timestamp >= lease.expiresAt(token)) return 0;
    }

    function _isSold(Plan memory sold) private view returns (bool) {
        return !lease.salesPaused() && sold.onSale && (sold.cap == 0 || sold.live < sold.cap);
    }

    /// @dev Whether a renewal would pay for time beyond the horizon.
    function _isFar(uint256 token, Before memory before, uint256 duration) private view returns (bool) {
        if (lease.deliveredAt(token) != 0) return before.expiration + duration > block.timestamp + 1096 days;
        (uint64 time, ) = lease.termOf(token);
        return time + duration > 1096 days;
    }

    function _larger(uint256 plan) private pure returns (uint256) {
        if (plan <= 2) return plan + 2;
        return plan >= 5 && plan <= 8 ? plan + 4 : 0;
    }
}
