// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Market} from "./support/Market.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @dev As forge wants it.
struct FuzzSelector {
    address addr;
    bytes4[] selectors;
}

/// @title What holds after any deals in any order, in honest money and in tokens that mean no good
contract InvariantsTest is Shop {
    Market private market;

    function setUp() public override {
        super.setUp();
        createPlan(larger(NATIVE));
        createPlan(larger(address(coin)));
        market = new Market(lease, coin);
        for (uint256 i = 2; i < 6; ++i) createPlan(offer(market.moneys(i)));
        for (uint256 i = 2; i < 6; ++i) createPlan(larger(market.moneys(i)));
        for (uint256 i = 0; i < 4; ++i) coin.transfer(market.people(i), type(uint160).max);
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    /// @notice What only a token may call.
    function excludeSelectors() external view returns (FuzzSelector[] memory excluded) {
        excluded = new FuzzSelector[](1);
        excluded[0] = FuzzSelector(address(market), new bytes4[](1));
        excluded[0].selectors[0] = market.calledBack.selector;
    }

    function invariant_of_money_nothing_is_lost_or_found_and_no_time_is_earned_before_it_passed() public view {
        uint256[6] memory owed;
        uint256[13] memory live;
        for (uint256 token = 1; token <= lease.lastTokenId(); ++token) {
            uint256 there;
            uint256 until = block.timestamp;
            if (market.exists(token)) {
                (uint256 plan, uint256 expiration) = (lease.planOf(token), lease.expiresAt(token));
                there = _inContract(token);
                if (expiration < until) until = expiration;
                owed[_moneyOf(plan)] += there;
                ++live[plan];
                ++live[lease.upgradeOf(token).planId];
            }
            _whatWasPaidIsReturnedOrEarnedOrThere(token, there);
            _nobodyEarnsTimeThatHasNotPassed(token, until);
        }
        _theContractHoldsWhatItOwes(owed);
        _stockIsWhatThereIs(live);
    }

    /// @dev So that the invariant is about something: every hostile token pays for leases, and its moods show.
    function test_hostile_tokens_pay_for_leases_beside_honest_ones_and_call_back() public {
        for (uint256 i = 0; i < 96; ++i) {
            market.buy(i, i, uint64(i));
            market.deliver(i);
            market.renew(i, i, uint64(i));
        }
        uint256[6] memory bought_;
        for (uint256 id = 1; id <= lease.lastTokenId(); ++id) {
            if (market.exists(id)) ++bought_[_moneyOf(lease.planOf(id))];
        }
        for (uint256 i = 0; i < 6; ++i) vm.assertGe(bought_[i], 8, "a money that nobody deals in");
        vm.assertGe(market.letIn(), 2, "no token dealt while it was paid");
        vm.assertGe(market.lockedOut(), 2, "no token tried the door");
        uint256 last = lease.lastTokenId();
        market.mood(0, 0, 9);
        market.buy(8 << 1 | 1, 0, 60);
        market.mood(2, 0, 0);
        market.buy(2 << 1 | 1, 0, 60);
        vm.assertEq(lease.lastTokenId(), last, "sold for less than the price");
        market.mood(3, 0, 0);
        market.mood(2, 0, 0);
        market.buy(4 << 1 | 1, 0, 60);
        market.buy(6 << 1 | 1, 0, 60);
        vm.assertEq(lease.lastTokenId(), last + 2);
        invariant_of_money_nothing_is_lost_or_found_and_no_time_is_earned_before_it_passed();
    }

    /// @dev Balance is exactly what is owed, of each money: nobody sends anything here that is not for a lease.
    function _theContractHoldsWhatItOwes(uint256[6] memory owed) private view {
        address[4] memory people = [market.people(0), market.people(1), market.people(2), market.people(3)];
        for (uint256 i = 0; i < 6; ++i) {
            address money = market.moneys(i);
            owed[i] += pot(money);
            for (uint256 j = 0; j < 4; ++j) owed[i] += lease.creditOf(money, people[j]);
            vm.assertEq(i == 0 ? address(lease).balance : IERC20(money).balanceOf(address(lease)), owed[i]);
        }
    }

    /// @dev To the wei, for every lease that there ever was.
    function _whatWasPaidIsReturnedOrEarnedOrThere(uint256 token, uint256 there) private view {
        (uint256 paid, uint256 returned, uint256 earned, , , ) = market.accounts(token);
        vm.assertEq(returned + earned + there, paid, "money of a lease was lost or found");
    }

    function _nobodyEarnsTimeThatHasNotPassed(uint256 token, uint256 until) private view {
        (, , uint256 earned, uint256 fees, uint256 price, uint256 since) = market.accounts(token);
        uint256 elapsed = since == 0 ? 0 : until - since;
        vm.assertLe(earned, price * elapsed + fees, "unelapsed time was collected");
    }

    function _stockIsWhatThereIs(uint256[13] memory live) private view {
        for (uint256 plan = 1; plan <= 12; ++plan) vm.assertEq(lease.plan(plan).live, live[plan]);
    }

    function _inContract(uint256 token) private view returns (uint256) {
        (uint256 earned, uint256 unused, uint256 aside) = lease.escrowOf(token);
        return earned + unused + aside;
    }

    /// @dev Which money a plan is paid in: see `Market`.
    function _moneyOf(uint256 plan) private pure returns (uint256) {
        return plan <= 4 ? (plan - 1) % 2 : 2 + ((plan - 5) % 4);
    }
}
