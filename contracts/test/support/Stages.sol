// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Shop} from "./Shop.sol";
import {vm} from "./Vm.sol";

/// @title Every state that a lease can be in
/// @dev Plans 3 and 4 have to be larger ones, in the payment tokens of 1 and 2.
abstract contract Stages is Shop {
    enum State {
        Waiting,
        Overdue,
        Fresh,
        Running,
        Upgrading,
        UpgradeLate,
        Declined,
        InGrace,
        AfterGrace,
        Ended,
        Closed,
        Refunded,
        Burned
    }

    /// @dev A lease of ALICE's for a hundred hours, of plan 1 or 2, as it is in a state.
    function _reach(State state, uint256 plan) internal returns (uint256 token) {
        token = buy(plan, ALICE, 100 * HOUR);
        if (state == State.Waiting) return token;
        if (state == State.Overdue || state == State.Refunded) {
            skip(DELIVERY);
            if (state == State.Overdue) return token;
            vm.prank(ALICE);
            lease.refund(token);
            return token;
        }
        deliver(token);
        if (state == State.Fresh) return token;
        skip(30 * HOUR);
        if (state == State.Upgrading || state == State.UpgradeLate) {
            uint256 value = plan == 1 ? 1e12 : 0;
            vm.prank(ALICE);
            lease.requestUpgrade{value: value}(token, plan + 2, type(uint256).max);
            if (state == State.UpgradeLate) skip(DELIVERY);
        }
        if (state == State.Declined || state == State.Ended) {
            vm.prank(ALICE);
            if (state == State.Declined) lease.cancelSubscription(token);
            else lease.end(token);
        }
        if (state == State.Closed) {
            vm.prank(ADMIN);
            lease.cancelDelivered(token);
        }
        if (state == State.InGrace) skip(70 * HOUR + 1);
        if (state == State.AfterGrace || state == State.Burned) skip(70 * HOUR + GRACE);
        if (state == State.Burned) {
            vm.prank(ALICE);
            lease.burn(token);
        }
    }
}
