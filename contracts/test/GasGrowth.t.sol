// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, Permit, Purchase} from "../src/LeaseTypes.sol";
import {Abi} from "./support/Abi.sol";
import {Shop} from "./support/Shop.sol";
import {Signing} from "./support/Signing.sol";
import {vm} from "./support/Vm.sol";

/// @title No call costs more for there being more leases, of its caller's own or of others
/// @notice Functions are taken from the compiled contract: one that nobody measures fails the test.
contract GasGrowthTest is Shop {
    uint256 private constant DORA_KEY = 0xD02A;

    uint256[] private _costs;
    mapping(bytes4 selector => bool) private _measured;
    address private dora;
    uint256 private _lives;

    function setUp() public override {
        super.setUp();
        createPlan(larger(NATIVE));
        createPlan(larger(address(coin)));
        dora = vm.addr(DORA_KEY);
        coin.transfer(dora, 1e30);
    }

    function test_no_function_costs_more_when_there_are_more_leases() public {
        _life(); // what is written for the first time is dearer
        uint256[] memory few = _life();
        for (uint256 i = 0; i < 100; ++i) {
            bought(1, ALICE, 100 * HOUR);
            bought(2, ALICE, 100 * HOUR);
            bought(1, BOB, 100 * HOUR);
        }
        uint256[] memory many = _life();
        vm.assertEq(many.length, few.length);
        for (uint256 i = 0; i < few.length; ++i) {
            string memory which = string.concat("dearer where there are more leases: call ", vm.toString(i));
            vm.assertLe(many[i], few[i], which);
        }
        string[] memory all = Abi.changing();
        for (uint256 i = 0; i < all.length; ++i) {
            vm.assertTrue(_measured[bytes4(keccak256(bytes(all[i])))], string.concat("nobody measured ", all[i]));
        }
    }

    // --- a life --------------------------------------------------------------------------------------------------

    /// @dev Every function, and the ways through it that differ; what it finds written, it finds so each time.
    function _life() private returns (uint256[] memory) {
        delete _costs;
        ++_lives;
        _operating();
        uint256[4] memory tokens = _buying();
        _delivering(tokens);
        _owning(tokens);
        _renewing(tokens);
        _upgrading(tokens);
        _collecting(tokens);
        _handingOn(tokens[1]);
        _ending(tokens);
        return _costs;
    }

    function _operating() private {
        bytes32 role = lease.TREASURER_ROLE();
        _cost(ADMIN, 0, abi.encodeCall(lease.createPlan, (offer(NATIVE))));
        _cost(ADMIN, 0, abi.encodeCall(lease.setTerms, (1, PRICE, 0, true)));
        _cost(ADMIN, 0, abi.encodeCall(lease.setSalesPaused, (true)));
        _cost(ADMIN, 0, abi.encodeCall(lease.setSalesPaused, (false)));
        _cost(ADMIN, 0, abi.encodeCall(lease.grantRole, (role, CAROL)));
        _cost(ADMIN, 0, abi.encodeCall(lease.revokeRole, (role, CAROL)));
        _cost(ADMIN, 0, abi.encodeCall(lease.grantRole, (role, CAROL)));
        _cost(CAROL, 0, abi.encodeCall(lease.renounceRole, (role, CAROL)));
    }

    /// @dev For native coin, by allowance, by permit, and by authorization.
    function _buying() private returns (uint256[4] memory) {
        uint256 first = lease.lastTokenId() + 1;
        Purchase memory wanted = purchase(1, ALICE, HOUR);
        (wanted.sshKey, wanted.encryptionKey) = (KEY, hex"0102");
        _cost(ALICE, HOUR * PRICE, abi.encodeCall(lease.mint, (wanted)));
        wanted.planId = 2;
        _cost(ALICE, 0, abi.encodeCall(lease.mint, (wanted)));
        Permit memory permit = Signing.permit(lease, coin, DORA_KEY, HOUR * PRICE);
        _cost(dora, 0, abi.encodeCall(lease.mintWithPermit, (wanted, permit)));
        Authorization memory signed = Signing.authorization(
            lease,
            coin,
            DORA_KEY,
            wanted,
            HOUR * PRICE,
            keccak256(abi.encode(_lives))
        );
        _cost(CAROL, 0, abi.encodeCall(lease.mintWithAuthorization, (wanted, signed)));
        return [first, first + 1, first + 2, first + 3];
    }

    function _delivering(uint256[4] memory tokens) private {
        for (uint256 i = 0; i < 4; ++i) {
            _cost(PROVISIONER, 0, abi.encodeCall(lease.deliver, (tokens[i], ALICE, "sealed")));
        }
        _cost(PROVISIONER, 0, abi.encodeCall(lease.publishConnection, (tokens[0], ALICE, "sealed anew")));
        uint256 token = buy(1, ALICE, HOUR);
        _cost(PROVISIONER, 0, abi.encodeCall(lease.cancelUndelivered, (token)));
    }

    function _owning(uint256[4] memory tokens) private {
        _cost(ALICE, 0, abi.encodeCall(lease.setKeys, (tokens[0], "ssh-ed25519 AAAA another", "")));
        _cost(ALICE, 0, abi.encodeCall(lease.requestAction, (tokens[0], 1, "")));
        _cost(ALICE, 0, abi.encodeCall(lease.cancelSubscription, (tokens[0])));
        _cost(ALICE, 0, abi.encodeCall(lease.allowRenewal, (tokens[0])));
        _cost(ALICE, 0, abi.encodeCall(lease.approve, (BOB, tokens[0])));
        _cost(ALICE, 0, abi.encodeCall(lease.setApprovalForAll, (BOB, true)));
        _cost(ALICE, 0, abi.encodeCall(lease.setApprovalForAll, (BOB, false)));
    }

    function _renewing(uint256[4] memory tokens) private {
        skip(60);
        uint256 most = type(uint256).max;
        _cost(BOB, HOUR * PRICE, abi.encodeCall(lease.renewSubscription, (tokens[0], HOUR)));
        _cost(BOB, HOUR * PRICE, abi.encodeCall(lease.renew, (tokens[0], HOUR, most)));
        _cost(BOB, 0, abi.encodeCall(lease.renew, (tokens[1], HOUR, most)));
        Permit memory permit = Signing.permit(lease, coin, DORA_KEY, HOUR * PRICE);
        _cost(dora, 0, abi.encodeCall(lease.renewWithPermit, (tokens[2], HOUR, most, permit)));
    }

    /// @dev One is done, one refused; the third is left for its owner to take back.
    function _upgrading(uint256[4] memory tokens) private {
        skip(60);
        (uint256 most, uint256 deadline) = (type(uint256).max, block.timestamp + DELIVERY);
        _cost(ALICE, 9 * HOUR * PRICE, abi.encodeCall(lease.requestUpgrade, (tokens[0], 3, most)));
        _cost(PROVISIONER, 0, abi.encodeCall(lease.completeUpgrade, (tokens[0], 3, deadline)));
        _cost(ALICE, 0, abi.encodeCall(lease.requestUpgrade, (tokens[1], 4, most)));
        _cost(PROVISIONER, 0, abi.encodeCall(lease.refuseUpgrade, (tokens[1], 4, deadline)));
        _cost(ALICE, 0, abi.encodeCall(lease.requestUpgrade, (tokens[3], 4, most)));
    }

    function _collecting(uint256[4] memory tokens) private {
        skip(60);
        uint256[] memory some = new uint256[](2);
        (some[0], some[1]) = (tokens[0], tokens[1]);
        _cost(TREASURER, 0, abi.encodeCall(lease.collect, (some)));
        _cost(TREASURER, 0, abi.encodeCall(lease.withdraw, (NATIVE, payable(TREASURER), 1)));
        _cost(TREASURER, 0, abi.encodeCall(lease.withdraw, (address(coin), payable(TREASURER), 1)));
    }

    function _handingOn(uint256 token) private {
        bytes4 safely = bytes4(keccak256("safeTransferFrom(address,address,uint256)"));
        bytes4 told = bytes4(keccak256("safeTransferFrom(address,address,uint256,bytes)"));
        _cost(ALICE, 0, abi.encodeCall(lease.transferFrom, (ALICE, CAROL, token)));
        _cost(CAROL, 0, abi.encodeWithSelector(safely, CAROL, ALICE, token));
        _cost(ALICE, 0, abi.encodeWithSelector(told, ALICE, CAROL, token, "hello"));
        _cost(CAROL, 0, abi.encodeCall(lease.transferFrom, (CAROL, ALICE, token)));
    }

    /// @dev Ended, cancelled, given back, burned by its owner and by the provisioner; and all of it taken out.
    function _ending(uint256[4] memory tokens) private {
        _cost(ALICE, 0, abi.encodeCall(lease.end, (tokens[0])));
        _cost(ADMIN, 0, abi.encodeCall(lease.cancelDelivered, (tokens[1])));
        uint256 late = buy(1, ALICE, HOUR);
        skip(DELIVERY);
        _cost(ALICE, 0, abi.encodeCall(lease.refund, (late)));
        _cost(ALICE, 0, abi.encodeCall(lease.withdrawUpgrade, (tokens[3])));
        _cost(ALICE, 0, abi.encodeCall(lease.burn, (tokens[0])));
        _cost(ALICE, 0, abi.encodeCall(lease.burn, (tokens[1])));
        skip(HOUR + GRACE);
        _cost(PROVISIONER, 0, abi.encodeCall(lease.burn, (tokens[2])));
        _cost(PROVISIONER, 0, abi.encodeCall(lease.burn, (tokens[3])));
        _cost(ALICE, 0, abi.encodeCall(lease.claim, (NATIVE, payable(ALICE))));
        _cost(ALICE, 0, abi.encodeCall(lease.claim, (address(coin), payable(ALICE))));
    }

    /// @dev What comes back is not copied: the more memory this test has, the dearer that would be.
    function _cost(address caller, uint256 value, bytes memory data) private {
        vm.prank(caller);
        address target = address(lease);
        bool done;
        uint256 left = gasleft();
        assembly ("memory-safe") {
            done := call(gas(), target, value, add(data, 32), mload(data), 0, 0)
        }
        _costs.push(left - gasleft());
        vm.assertTrue(done, string.concat("a call failed: ", vm.toString(_costs.length - 1)));
        _measured[bytes4(data)] = true;
    }
}
