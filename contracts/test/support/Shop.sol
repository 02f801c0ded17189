// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lease} from "../../src/Lease.sol";
import {Permit, Plan, PlanOffer, Purchase, Upgrade} from "../../src/LeaseTypes.sol";
import {LeaseWords} from "../../src/LeaseWords.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {vm} from "./Vm.sol";

/// @title Where the tests take place: a contract with two plans, its people, and a coin
/// @dev Plan 1 is paid in native coin, plan 2 in `coin`; all else of them is the same.
abstract contract Shop is LeaseWords {
    address internal constant ADMIN = address(0xAD);
    address internal constant TREASURER = address(0x7E);
    address internal constant PROVISIONER = address(0x90);
    address internal constant ALICE = address(0xA1);
    address internal constant BOB = address(0xB0);
    address internal constant CAROL = address(0xCA);

    uint64 internal constant HOUR = 1 hours;
    uint64 internal constant GRACE = 2 hours;
    uint64 internal constant DELIVERY = 1 hours;
    uint16 internal constant FEE = 1_000;
    uint128 internal constant PRICE = 1_000;
    uint256 internal constant NOW = 1_800_000_000;
    address internal constant NATIVE = address(0);
    string internal constant KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDx alice@example";

    Lease internal lease;
    TestToken internal coin;

    function setUp() public virtual {
        vm.warp(NOW);
        lease = new Lease(ADMIN, TREASURER, PROVISIONER);
        coin = new TestToken(type(uint192).max);
        createPlan(offer(NATIVE));
        createPlan(offer(address(coin)));
        address[3] memory people = [ALICE, BOB, CAROL];
        for (uint256 i = 0; i < people.length; ++i) {
            vm.deal(people[i], type(uint128).max);
            coin.transfer(people[i], type(uint160).max);
            vm.prank(people[i]);
            coin.approve(address(lease), type(uint256).max);
        }
    }

    function offer(address token) internal pure returns (PlanOffer memory) {
        return PlanOffer("small", 0, 1, 1024, 10, GRACE, DELIVERY, FEE, token, PRICE, 0);
    }

    /// @dev A plan with twice of everything, at three times the price.
    function larger(address token) internal pure returns (PlanOffer memory) {
        return PlanOffer("large", 0, 2, 2048, 20, GRACE, DELIVERY, FEE, token, 3 * PRICE, 0);
    }

    function createPlan(PlanOffer memory offered) internal returns (uint256) {
        vm.prank(ADMIN);
        return lease.createPlan(offered);
    }

    function purchase(uint256 plan, address recipient, uint64 duration) internal view returns (Purchase memory) {
        return Purchase(plan, recipient, duration, type(uint256).max, block.timestamp, "", "");
    }

    function buy(uint256 plan, address buyer, uint64 duration) internal returns (uint256) {
        Plan memory sold = lease.plan(plan);
        uint256 value = sold.paymentToken == NATIVE ? uint256(sold.pricePerSecond) * duration : 0;
        vm.prank(buyer);
        return lease.mint{value: value}(purchase(plan, buyer, duration));
    }

    function deliver(uint256 token) internal {
        address owner = lease.ownerOf(token);
        vm.prank(PROVISIONER);
        lease.deliver(token, owner, "");
    }

    function bought(uint256 plan, address buyer, uint64 duration) internal returns (uint256 token) {
        token = buy(plan, buyer, duration);
        deliver(token);
    }

    function renew(uint256 token, address payer, uint64 duration) internal {
        uint256 price = lease.priceOf(token) * duration;
        bool native = lease.plan(lease.planOf(token)).paymentToken == NATIVE;
        vm.prank(payer);
        lease.renewSubscription{value: native ? price : 0}(token, duration);
    }

    function collect(uint256 token) internal {
        uint256[] memory tokens = new uint256[](1);
        tokens[0] = token;
        vm.prank(TREASURER);
        lease.collect(tokens);
    }

    function pot(address token) internal view returns (uint256) {
        return lease.creditOf(token, address(0));
    }

    function skip(uint256 time) internal {
        vm.warp(block.timestamp + time);
    }

    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + (x % (high - low + 1));
    }
}
