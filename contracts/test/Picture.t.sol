// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Base64} from "@openzeppelin/contracts/utils/Base64.sol";
import {PlanOffer} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title What a wallet shows of a lease
contract PictureTest is Shop {
    function test_it_tells_plan_state_and_expiry() public {
        uint256 token = buy(1, ALICE, HOUR);
        vm.assertEq(_state(token), "waiting for delivery");
        vm.assertEq(_told(token, ".name"), "Lease #1");
        vm.assertEq(_told(token, ".attributes[0].value"), "small");
        vm.assertEq(_told(token, ".attributes[1].value"), "1 cores, 1024 MiB, 10 GiB");
        deliver(token);
        vm.assertEq(_state(token), "active");
        skip(HOUR);
        vm.assertEq(_state(token), "expired: renewable");
        vm.startPrank(ALICE);
        lease.cancelSubscription(token);
        vm.assertEq(_state(token), "expired");
        lease.allowRenewal(token);
        vm.stopPrank();
        vm.assertEq(_state(token), "expired: renewable");
        skip(GRACE);
        vm.assertEq(_state(token), "over");
        uint256 late = buy(1, ALICE, HOUR);
        skip(DELIVERY);
        vm.assertEq(_state(late), "not delivered: refundable");
    }

    function test_the_date_is_right_on_days_where_dates_go_wrong() public {
        _dated(951_782_400, "2000-02-29 00:00 UTC");
        _dated(1_709_251_199, "2024-02-29 23:59 UTC");
        _dated(1_735_689_599, "2024-12-31 23:59 UTC");
        _dated(1_735_689_600, "2025-01-01 00:00 UTC");
        _dated(4_107_542_400, "2100-03-01 00:00 UTC");
    }

    function test_a_name_with_markup_in_it_is_no_markup() public {
        PlanOffer memory evil = offer(NATIVE);
        evil.name = '</text><script>alert("x")</script>\\';
        uint256 token = buy(createPlan(evil), ALICE, HOUR);
        vm.assertEq(_told(token, ".attributes[0].value"), "  text  script alert  x    script  ");
    }

    function test_a_change_is_told_by_erc4906() public {
        vm.assertTrue(lease.supportsInterface(0x49064906), "ERC-4906");
        uint256 token = buy(1, ALICE, HOUR);
        vm.expectEmit(address(lease));
        emit MetadataUpdate(token);
        deliver(token);
        vm.expectEmit(address(lease));
        emit MetadataUpdate(token);
        vm.prank(ALICE);
        lease.cancelSubscription(token);
    }

    function _dated(uint256 expiration, string memory date) private {
        vm.warp(expiration - DELIVERY);
        bytes memory image = bytes(_told(buy(1, ALICE, HOUR), ".image"));
        bytes memory data = Base64.decode(_after(image, 26));
        vm.assertTrue(_contains(data, bytes(string.concat("until ", date))), date);
    }

    function _state(uint256 token) private view returns (string memory) {
        return _told(token, ".attributes[2].value");
    }

    function _told(uint256 token, string memory key) private view returns (string memory) {
        string memory json = string(Base64.decode(_after(bytes(lease.tokenURI(token)), 29)));
        return abi.decode(vm.parseJson(json, key), (string));
    }

    function _after(bytes memory text, uint256 start) private pure returns (string memory) {
        bytes memory rest = new bytes(text.length - start);
        for (uint256 i = 0; i < rest.length; ++i) rest[i] = text[start + i];
        return string(rest);
    }

    function _contains(bytes memory text, bytes memory part) private pure returns (bool) {
        for (uint256 i = 0; i + part.length <= text.length; ++i) {
            uint256 same = 0;
            while (same < part.length && text[i + same] == part[same]) ++same;
            if (same == part.length) return true;
        }
        return false;
    }
}
