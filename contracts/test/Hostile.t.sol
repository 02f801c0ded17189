// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Shop} from "./support/Shop.sol";
import {
    BlocklistToken,
    EmptyToken,
    FeeToken,
    Greedy,
    LyingToken,
    ReentrantToken,
    Refuser,
    SilentToken
} from "./support/Tokens.sol";
import {vm} from "./support/Vm.sol";

/// @title Tokens and receivers that mean no good: they harm themselves at most
contract HostileTest is Shop {
    function test_a_token_that_takes_a_fee_buys_nothing() public {
        FeeToken token = new FeeToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(TokenTookFee.selector, (HOUR * PRICE * 99) / 100, HOUR * PRICE));
        lease.mint(purchase(plan, ALICE, HOUR));
    }

    function test_a_token_that_moves_nothing_buys_nothing_whatever_it_says() public {
        address[2] memory tokens = [address(new LyingToken()), address(new EmptyToken())];
        for (uint256 i = 0; i < tokens.length; ++i) {
            uint256 plan = createPlan(offer(tokens[i]));
            if (i == 0) vm.expectRevert(abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, tokens[i]));
            else vm.expectRevert(abi.encodeWithSelector(TokenTookFee.selector, 0, HOUR * PRICE));
            lease.mint(purchase(plan, ALICE, HOUR));
        }
    }

    function test_a_token_that_says_nothing_pays_and_is_paid_out() public {
        SilentToken token = new SilentToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        uint256 id = lease.mint(purchase(plan, ALICE, HOUR));
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(id);
        vm.prank(ALICE);
        lease.claim(address(token), payable(ALICE));
        vm.assertEq(token.balanceOf(ALICE), HOUR * PRICE);
    }

    function test_a_blocked_owner_stops_nobody_and_takes_it_out_elsewhere() public {
        BlocklistToken token = new BlocklistToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        uint256 one = lease.mint(purchase(plan, ALICE, HOUR));
        uint256 two = lease.mint(purchase(plan, BOB, HOUR));
        token.block_(ALICE);
        vm.startPrank(PROVISIONER);
        lease.cancelUndelivered(one);
        lease.cancelUndelivered(two);
        vm.stopPrank();
        vm.prank(BOB);
        vm.assertEq(lease.claim(address(token), payable(BOB)), HOUR * PRICE);
        vm.startPrank(ALICE);
        vm.expectRevert("blocked");
        lease.claim(address(token), payable(ALICE));
        vm.assertEq(lease.claim(address(token), payable(CAROL)), HOUR * PRICE);
        vm.stopPrank();
    }

    function test_a_token_that_calls_back_gets_in_nowhere_that_moves_money() public {
        ReentrantToken token = new ReentrantToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        bytes[5] memory calls = [
            abi.encodeCall(lease.mint, (purchase(plan, ALICE, HOUR))),
            abi.encodeCall(lease.claim, (NATIVE, payable(address(token)))),
            abi.encodeCall(lease.renewSubscription, (1, HOUR)),
            abi.encodeCall(lease.renew, (1, HOUR, type(uint256).max)),
            abi.encodeCall(lease.requestUpgrade, (1, plan, type(uint256).max))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            token.attack(address(lease), calls[i]);
            lease.mint(purchase(plan, ALICE, HOUR));
            vm.assertTrue(token.tried(), "it never called back");
            vm.assertTrue(!token.entered(), "it got in");
            vm.assertEq(
                bytes32(token.answer()),
                bytes32(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        }
    }

    function test_a_token_that_calls_back_moves_no_money_where_it_does_get_in() public {
        ReentrantToken token = new ReentrantToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        bytes32 treasurer = lease.TREASURER_ROLE();
        vm.prank(ADMIN);
        lease.grantRole(treasurer, address(token));
        uint256[] memory all = new uint256[](4);
        for (uint256 i = 0; i < 4; ++i) {
            all[i] = lease.mint(purchase(plan, address(token), HOUR));
            deliver(all[i]);
        }
        skip(HOUR / 4);
        bytes[4] memory calls = [
            abi.encodeCall(lease.end, (all[0])),
            abi.encodeCall(lease.transferFrom, (address(token), BOB, all[1])),
            abi.encodeCall(lease.cancelSubscription, (all[2])),
            abi.encodeCall(lease.collect, (all))
        ];
        for (uint256 i = 0; i < 4; ++i) {
            token.attack(address(lease), calls[i]);
            lease.mint(purchase(plan, CAROL, HOUR));
            vm.assertTrue(token.tried() && token.entered(), "it was kept out");
        }
        uint256 owed = pot(address(token)) + lease.creditOf(address(token), address(token));
        for (uint256 id = 1; id <= lease.lastTokenId(); ++id) {
            (uint256 earned, uint256 unused, uint256 aside) = lease.escrowOf(id);
            owed += earned + unused + aside;
        }
        vm.assertEq(owed, 8 * HOUR * PRICE);
        vm.assertEq(token.balanceOf(address(lease)), owed);
        vm.assertEq(pot(address(token)), HOUR * PRICE, "a quarter of each of four hours");
    }

    function test_a_token_that_calls_back_takes_no_more_out_than_it_is_owed() public {
        ReentrantToken token = new ReentrantToken();
        uint256 plan = createPlan(offer(address(token)));
        token.approve(address(lease), type(uint256).max);
        uint256 id = lease.mint(purchase(plan, address(token), HOUR));
        lease.mint(purchase(plan, BOB, HOUR));
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(id);
        token.attack(address(lease), abi.encodeCall(lease.claim, (address(token), payable(address(token)))));
        vm.prank(address(token));
        lease.claim(address(token), payable(CAROL));
        vm.assertTrue(token.tried() && !token.entered(), "it took it twice");
        vm.assertEq(token.balanceOf(CAROL), HOUR * PRICE);
        vm.assertEq(token.balanceOf(address(lease)), HOUR * PRICE);
    }

    function test_a_receiver_that_refuses_coin_stops_only_itself() public {
        Refuser refuser = new Refuser();
        vm.deal(ALICE, 1 ether);
        vm.prank(ALICE);
        uint256 hers = lease.mint{value: HOUR * PRICE}(purchase(1, address(refuser), HOUR));
        uint256 his = buy(1, BOB, HOUR);
        vm.startPrank(PROVISIONER);
        lease.cancelUndelivered(hers);
        lease.cancelUndelivered(his);
        vm.stopPrank();
        vm.prank(address(refuser));
        vm.expectRevert();
        lease.claim(NATIVE, payable(address(refuser)));
        vm.prank(BOB);
        lease.claim(NATIVE, payable(BOB));
        vm.prank(address(refuser));
        vm.assertEq(lease.claim(NATIVE, payable(CAROL)), HOUR * PRICE);
    }

    function test_a_receiver_that_claims_again_while_it_is_paid_gets_it_once() public {
        Greedy greedy = new Greedy(address(lease));
        buy(1, BOB, 10 * HOUR);
        vm.deal(address(greedy), HOUR * PRICE);
        bytes memory call = abi.encodeCall(lease.mint, (purchase(1, address(greedy), HOUR)));
        uint256 token = abi.decode(greedy.run(call, HOUR * PRICE), (uint256));
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(token);
        greedy.run(abi.encodeCall(lease.claim, (NATIVE, payable(address(greedy)))), 0);
        vm.assertTrue(!greedy.entered(), "it claimed twice");
        vm.assertEq(address(greedy).balance, HOUR * PRICE);
        vm.assertEq(address(lease).balance, 10 * HOUR * PRICE);
    }

    function test_a_receiver_that_claims_while_its_change_is_sent_gets_it_once() public {
        Greedy greedy = new Greedy(address(lease));
        buy(1, BOB, 10 * HOUR);
        vm.deal(address(greedy), 5 * HOUR * PRICE);
        bytes memory call = abi.encodeCall(lease.mint, (purchase(1, address(greedy), HOUR)));
        uint256 token = abi.decode(greedy.run(call, HOUR * PRICE), (uint256));
        vm.prank(PROVISIONER);
        lease.cancelUndelivered(token);
        greedy.run(call, 3 * HOUR * PRICE);
        vm.assertTrue(!greedy.entered(), "it claimed while it bought");
        vm.assertEq(lease.creditOf(NATIVE, address(greedy)), HOUR * PRICE);
        vm.assertEq(address(lease).balance, 12 * HOUR * PRICE);
    }

    function test_a_hostile_tokens_plan_touches_no_other_plans_money() public {
        ReentrantToken token = new ReentrantToken();
        uint256 plan = createPlan(offer(address(token)));
        uint256 honest = bought(2, ALICE, HOUR);
        token.approve(address(lease), type(uint256).max);
        uint256 bad = lease.mint(purchase(plan, BOB, HOUR));
        deliver(bad);
        skip(HOUR);
        collect(bad);
        vm.assertEq(pot(address(coin)), 0);
        vm.prank(TREASURER);
        vm.expectRevert(abi.encodeWithSelector(NotOwed.selector, 0, 1));
        lease.withdraw(address(coin), payable(CAROL), 1);
        collect(honest);
        vm.assertEq(pot(address(coin)), HOUR * PRICE);
    }
}
