// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lease} from "../../src/Lease.sol";
import {Authorization, Permit, Plan, Purchase, Upgrade} from "../../src/LeaseTypes.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {Signing} from "./Signing.sol";
import {vm} from "./Vm.sol";

/// @title Everybody who deals with a lease contract, one deal at a time, in whatever order the fuzzer likes
/// @notice It writes down by itself what was paid for each lease and where that went, from balances and credits before
/// and after each deal, and never asks the contract for a sum. A deal that is allowed must succeed; one that is not must
/// be refused.
contract Market {
    address private constant ADMIN = address(0xAD);
    address private constant TREASURER = address(0x7E);
    address private constant PROVISIONER = address(0x90);

    Lease public immutable lease;
    TestToken public immutable coin;
    address[4] public people = [vm.addr(1), vm.addr(2), vm.addr(3), vm.addr(4)];

    struct Account {
        uint256 paid;
        uint256 returned;
        uint256 earned;
        uint256 fees;
        uint256 highestPrice;
        /// When its time would have begun if it had run without a pause until now.
        uint256 since;
    }

    mapping(uint256 token => Account) public accounts;

    /// @dev What was before a deal of one lease.
    struct Before {
        address coinOf;
        address owner;
        uint256 pot;
        uint256 credit;
        uint256 expiration;
    }

    constructor(Lease lease_, TestToken coin_) {
        (lease, coin) = (lease_, coin_);
    }

    // --- deals ---------------------------------------------------------------------------------------------------

    function buy(uint256 planSeed, uint256 who, uint64 duration) external {
        uint256 plan = 1 + (planSeed % lease.planCount());
        Plan memory sold = lease.plan(plan);
        duration = uint64(60 + (duration % 40 days));
        address buyer = people[who % 4];
        uint256 cost = uint256(sold.pricePerSecond) * duration;
        bool allowed = _isSold(sold);
        Purchase memory wanted = Purchase(plan, buyer, duration, cost, block.timestamp, "", "");
        uint256 held = _held(sold.paymentToken);
        vm.prank(buyer);
        try lease.mint{value: sold.paymentToken == address(0) ? cost : 0}(wanted) returns (uint256 token) {
            vm.assertTrue(allowed, "sold what is not on sale");
            vm.assertEq(_held(sold.paymentToken) - held, cost);
            accounts[token].paid = cost;
            accounts[token].highestPrice = sold.pricePerSecond;
        } catch {
            vm.assertTrue(!allowed, "a sale was refused");
        }
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
        vm.prank(people[(who + 1) % 4]);
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
        bool allowed = lease.isRenewable(token);
        uint256 held = _held(before.coinOf);
        vm.prank(people[who % 4]);
        try lease.renewSubscription{value: before.coinOf == address(0) ? price * duration : 0}(token, duration) {
            vm.assertTrue(allowed, "renewed after the grace");
            vm.assertGe(lease.expiresAt(token), before.expiration, "a renewal moved an expiry back");
            vm.assertEq(_held(before.coinOf) - held, price * duration);
            accounts[token].paid += price * duration;
            bool idle = lease.deliveredAt(token) != 0 && block.timestamp > before.expiration;
            if (idle) accounts[token].since += block.timestamp - before.expiration;
            _atMost(token, price);
            _written(token, before);
        } catch {
            vm.assertTrue(!allowed || _isFar(token, before, duration), "a renewal was refused");
        }
    }

    function deliver(uint256 seed) external {
        uint256 token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) != 0 || block.timestamp >= lease.expiresAt(token)) return;
        address owner = lease.ownerOf(token);
        vm.prank(PROVISIONER);
        lease.deliver(token, owner, "sealed");
        accounts[token].since = block.timestamp;
    }

    function cancelOrRefund(uint256 seed, bool byOwner) external {
        uint256 token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) != 0) return;
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
        uint256 fee = (unused * lease.plan(lease.planOf(token)).endFee) / 10_000;
        vm.prank(byAdmin ? ADMIN : before.owner);
        if (byAdmin) lease.cancelDelivered(token);
        else lease.end(token);
        if (!byAdmin) accounts[token].fees += fee;
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

    function takeOut(uint256 who, bool native) external {
        address token = native ? address(0) : address(coin);
        address account = people[who % 4];
        uint256 credit = lease.creditOf(token, account);
        if (credit == 0) return;
        uint256 held = _held(token);
        vm.prank(account);
        lease.claim(token, payable(account));
        vm.assertEq(held - _held(token), credit);
    }

    function withdraw(bool native, uint256 part) external {
        address token = native ? address(0) : address(coin);
        uint256 amount = part % (lease.creditOf(token, address(0)) + 1);
        vm.prank(TREASURER);
        lease.withdraw(token, payable(TREASURER), amount);
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
        if (token == 0 || lease.planOf(token) > 2 || lease.upgradeOf(token).planId != 0) return;
        uint256 plan = lease.planOf(token) + 2;
        Plan memory wanted = lease.plan(plan);
        if (lease.salesPaused() || !wanted.onSale || (wanted.cap != 0 && wanted.live >= wanted.cap)) return;
        Before memory before = _before(token);
        uint256 held = _held(before.coinOf);
        vm.deal(before.owner, type(uint128).max);
        vm.prank(before.owner);
        lease.requestUpgrade{value: before.coinOf == address(0) ? type(uint96).max : 0}(
            token,
            plan,
            type(uint256).max
        );
        accounts[token].paid += _held(before.coinOf) - held;
        _atMost(token, wanted.pricePerSecond);
        _written(token, before);
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

    // --- inside --------------------------------------------------------------------------------------------------

    function exists(uint256 token) public view returns (bool) {
        try lease.ownerOf(token) returns (address) {
            return true;
        } catch {
            return false;
        }
    }

    function _pick(uint256 seed) private view returns (uint256) {
        uint256 last = lease.lastTokenId();
        if (last == 0) return 0;
        for (uint256 i = 0; i < last; ++i) {
            uint256 token = 1 + (((seed % last) + i) % last);
            if (exists(token)) return token;
        }
        return 0;
    }

    function _running(uint256 seed) private view returns (uint256 token) {
        token = _pick(seed);
        if (token == 0 || lease.deliveredAt(token) == 0 || block.timestamp >= lease.expiresAt(token)) return 0;
    }

    function _isSold(Plan memory sold) private view returns (bool) {
        return !lease.salesPaused() && sold.onSale && (sold.cap == 0 || sold.live < sold.cap);
    }

    function _before(uint256 token) private view returns (Before memory before) {
        before.coinOf = lease.plan(lease.planOf(token)).paymentToken;
        before.owner = lease.ownerOf(token);
        before.pot = lease.creditOf(before.coinOf, address(0));
        before.credit = lease.creditOf(before.coinOf, before.owner);
        before.expiration = lease.expiresAt(token);
    }

    /// @dev Whether a renewal would pay for time beyond the horizon.
    function _isFar(uint256 token, Before memory before, uint256 duration) private view returns (bool) {
        if (lease.deliveredAt(token) != 0) return before.expiration + duration > block.timestamp + 1096 days;
        (uint64 time, ) = lease.termOf(token);
        return time + duration > 1096 days;
    }

    function _written(uint256 token, Before memory before) private {
        accounts[token].earned += lease.creditOf(before.coinOf, address(0)) - before.pot;
        accounts[token].returned += lease.creditOf(before.coinOf, before.owner) - before.credit;
    }

    function _atMost(uint256 token, uint256 price) private {
        if (price > accounts[token].highestPrice) accounts[token].highestPrice = price;
    }

    function _held(address token) private view returns (uint256) {
        return token == address(0) ? address(lease).balance : coin.balanceOf(address(lease));
    }
}
