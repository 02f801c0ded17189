// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Purchase} from "../src/LeaseTypes.sol";
import {Shop} from "./support/Shop.sol";
import {vm} from "./support/Vm.sol";

/// @title What the usual calls cost: kept in snapshots/Lease.json
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

    /// @dev As costly as random bytes are.
    function _sealed(uint256 length) private pure returns (bytes memory sealed_) {
        sealed_ = new bytes(length);
        for (uint256 i = 0; i < length; ++i) sealed_[i] = 0xff;
    }
}
