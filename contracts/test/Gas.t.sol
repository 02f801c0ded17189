// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Purchase} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title What calls cost: kept in snapshots/Lease.json, and the same however many leases there are
contract GasTest is Shop {
    /// forge-config: default.isolate = true
    function test_what_calls_cost() public {
        bought(1, BOB, HOUR);
        Purchase memory wanted = purchase(1, ALICE, HOUR);
        wanted.sshKey = KEY;
        wanted.encryptionKey = _sealed(32);
        vm.prank(ALICE);
        lease.mint{value: HOUR * PRICE}(wanted);
        vm.snapshotGasLastCall("Lease", "mint");
        bytes memory connection = _sealed(320);
        vm.prank(PROVISIONER);
        lease.deliver(2, ALICE, connection);
        vm.snapshotGasLastCall("Lease", "deliver");
        skip(HOUR / 2);
        renew(2, BOB, HOUR);
        vm.snapshotGasLastCall("Lease", "renew");
        vm.prank(ALICE);
        lease.transferFrom(ALICE, CAROL, 2);
        vm.snapshotGasLastCall("Lease", "transfer");
        skip(HOUR / 2);
        collect(2);
        vm.snapshotGasLastCall("Lease", "collect one");
        vm.prank(CAROL);
        lease.end(2);
        vm.snapshotGasLastCall("Lease", "end");
        vm.prank(CAROL);
        lease.claim(NATIVE, payable(CAROL));
        vm.snapshotGasLastCall("Lease", "claim");
    }

    function test_no_call_costs_more_when_there_are_more_leases() public {
        uint256[6] memory few = _costs();
        for (uint256 i = 0; i < 300; ++i) bought(1, BOB, 100 * HOUR);
        uint256[6] memory many = _costs();
        for (uint256 i = 0; i < few.length; ++i) {
            vm.assertLe(many[i], few[i] + 100, "a call costs more where there are more leases");
        }
    }

    function test_no_end_and_no_upgrade_costs_more_when_there_are_more_leases() public {
        createPlan(larger(NATIVE));
        uint256[9] memory few = _costsOfEnds();
        for (uint256 i = 0; i < 300; ++i) bought(1, BOB, 100 * HOUR);
        uint256[9] memory many = _costsOfEnds();
        for (uint256 i = 0; i < few.length; ++i) {
            vm.assertLe(many[i], few[i] + 100, "a call costs more where there are more leases");
        }
    }

    /// @dev As costly as random bytes are.
    function _sealed(uint256 length) private pure returns (bytes memory sealed_) {
        sealed_ = new bytes(length);
        for (uint256 i = 0; i < length; ++i) sealed_[i] = 0xff;
    }

    /// @dev The same life once more; what it finds written already, it finds so both times.
    function _costs() private returns (uint256[6] memory costs) {
        uint256 warm = bought(1, ALICE, HOUR);
        skip(1);
        collect(warm);
        uint256 left = gasleft();
        uint256 token = buy(1, ALICE, HOUR);
        costs[0] = left - (left = gasleft());
        deliver(token);
        costs[1] = left - (left = gasleft());
        skip(60);
        left = gasleft();
        renew(token, BOB, HOUR);
        costs[2] = left - (left = gasleft());
        collect(token);
        costs[3] = left - (left = gasleft());
        vm.prank(ALICE);
        lease.transferFrom(ALICE, CAROL, token);
        costs[4] = left - (left = gasleft());
        vm.prank(CAROL);
        lease.end(token);
        costs[5] = left - gasleft();
        vm.prank(CAROL);
        lease.transferFrom(CAROL, ALICE, token);
    }

    /// @dev What ends a lease or makes it larger; each finds the same written both times.
    function _costsOfEnds() private returns (uint256[9] memory costs) {
        uint256[4] memory tokens = [buy(1, ALICE, HOUR), buy(1, ALICE, HOUR), bought(1, ALICE, HOUR), 0];
        tokens[3] = bought(1, ALICE, HOUR);
        uint256 deadline = block.timestamp + DELIVERY;
        _cost(PROVISIONER, 0, abi.encodeCall(lease.cancelUndelivered, (buy(1, ALICE, HOUR))));
        costs[0] = _cost(PROVISIONER, 0, abi.encodeCall(lease.cancelUndelivered, (tokens[0])));
        costs[1] = _cost(ALICE, 0, abi.encodeCall(lease.setKeys, (tokens[2], KEY, "")));
        costs[2] = _cost(ALICE, 4 * HOUR * PRICE, abi.encodeCall(lease.requestUpgrade, (tokens[2], 3, 1 ether)));
        costs[3] = _cost(PROVISIONER, 0, abi.encodeCall(lease.completeUpgrade, (tokens[2], 3, deadline)));
        costs[4] = _cost(ALICE, 4 * HOUR * PRICE, abi.encodeCall(lease.requestUpgrade, (tokens[3], 3, 1 ether)));
        costs[5] = _cost(PROVISIONER, 0, abi.encodeCall(lease.refuseUpgrade, (tokens[3], 3, deadline)));
        skip(HOUR);
        costs[6] = _cost(ALICE, 0, abi.encodeCall(lease.refund, (tokens[1])));
        costs[7] = _cost(ALICE, 0, abi.encodeCall(lease.burn, (tokens[2])));
        costs[8] = _cost(ALICE, 0, abi.encodeCall(lease.claim, (NATIVE, payable(ALICE))));
    }

    /// @dev What comes back is not copied: the more memory this test has, the dearer that would be.
    function _cost(address caller, uint256 value, bytes memory data) private returns (uint256 cost) {
        vm.prank(caller);
        address target = address(lease);
        bool done;
        uint256 left = gasleft();
        assembly ("memory-safe") {
            done := call(gas(), target, value, add(data, 32), mload(data), 0, 0)
        }
        cost = left - gasleft();
        vm.assertTrue(done, "a call failed");
    }
}
