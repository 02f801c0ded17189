// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "./support/Market.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title What holds after any deals in any order
contract InvariantsTest is Shop {
    Market private market;

    function setUp() public override {
        super.setUp();
        createPlan(larger(NATIVE));
        createPlan(larger(address(coin)));
        market = new Market(lease, coin);
        for (uint256 i = 0; i < 4; ++i) {
            vm.deal(market.people(i), type(uint128).max);
            coin.transfer(market.people(i), type(uint160).max);
            vm.prank(market.people(i));
            coin.approve(address(lease), type(uint256).max);
        }
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(market);
    }

    function invariant_of_money_nothing_is_lost_or_found_and_no_time_is_earned_before_it_passed() public view {
        _theContractHoldsWhatItOwes();
        _whatWasPaidIsReturnedOrEarnedOrThere();
        _nobodyEarnsTimeThatHasNotPassed();
        _stockIsWhatThereIs();
    }

    /// @dev Balance is exactly what is owed: nobody sends anything here that is not for a lease.
    function _theContractHoldsWhatItOwes() private view {
        uint256 native = pot(NATIVE);
        uint256 coins = pot(address(coin));
        for (uint256 i = 0; i < 4; ++i) {
            native += lease.creditOf(NATIVE, market.people(i));
            coins += lease.creditOf(address(coin), market.people(i));
        }
        for (uint256 token = 1; token <= lease.lastTokenId(); ++token) {
            if (!market.exists(token)) continue;
            uint256 owed = _inContract(token);
            if (lease.plan(lease.planOf(token)).paymentToken == NATIVE) native += owed;
            else coins += owed;
        }
        vm.assertEq(address(lease).balance, native);
        vm.assertEq(coin.balanceOf(address(lease)), coins);
    }

    /// @dev To the wei, for every lease that there ever was.
    function _whatWasPaidIsReturnedOrEarnedOrThere() private view {
        for (uint256 token = 1; token <= lease.lastTokenId(); ++token) {
            (uint256 paid, uint256 returned, uint256 earned, , , ) = market.accounts(token);
            uint256 there = market.exists(token) ? _inContract(token) : 0;
            vm.assertEq(returned + earned + there, paid, "money of a lease was lost or found");
        }
    }

    function _nobodyEarnsTimeThatHasNotPassed() private view {
        for (uint256 token = 1; token <= lease.lastTokenId(); ++token) {
            (, , uint256 earned, uint256 fees, uint256 price, uint256 since) = market.accounts(token);
            uint256 until = block.timestamp;
            if (market.exists(token) && lease.expiresAt(token) < until) until = lease.expiresAt(token);
            uint256 elapsed = since == 0 ? 0 : until - since;
            vm.assertLe(earned, price * elapsed + fees, "unelapsed time was collected");
        }
    }

    function _stockIsWhatThereIs() private view {
        uint256[5] memory live;
        for (uint256 token = 1; token <= lease.lastTokenId(); ++token) {
            if (!market.exists(token)) continue;
            ++live[lease.planOf(token)];
            ++live[lease.upgradeOf(token).planId];
        }
        for (uint256 plan = 1; plan <= 4; ++plan) vm.assertEq(lease.plan(plan).live, live[plan]);
    }

    function _inContract(uint256 token) private view returns (uint256) {
        (uint256 earned, uint256 unused, uint256 aside) = lease.escrowOf(token);
        return earned + unused + aside;
    }
}
