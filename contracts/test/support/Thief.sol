// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Authorization, Permit, Upgrade} from "../../src/LeaseTypes.sol";
import {Abi} from "./Abi.sol";
import {Stages} from "./Stages.sol";
import {vm} from "./Vm.sol";

/// @title What a thief of one of the operator's keys would call, function by function
abstract contract Thief is Stages {
    /// @dev Who has the provisioner's role, and in some tests the others too.
    address internal constant THIEF = PROVISIONER;

    string[] internal _functions;
    mapping(bytes32 signature => bool) internal _worked;

    function setUp() public virtual override {
        super.setUp();
        createPlan(larger(NATIVE));
        createPlan(larger(address(coin)));
        vm.deal(THIEF, 1e30);
        coin.transfer(THIEF, 1e30);
        vm.prank(THIEF);
        coin.approve(address(lease), type(uint256).max);
        _functions = Abi.changing();
    }

    /// @dev Tries every function at a state of a lease, and returns the signatures of those that went through.
    function tried(State state, uint256 plan) external virtual returns (bytes32[] memory went);

    /// @dev Tries every function at every state, by both coins. Each state is a call of its own, whose memory is given back.
    function _tryEverywhere() internal {
        for (uint256 plan = 1; plan <= 2; ++plan) {
            for (uint256 state = 0; state <= uint256(type(State).max); ++state) {
                uint256 before = vm.snapshotState();
                bytes32[] memory went = this.tried(State(state), plan);
                vm.revertToState(before);
                for (uint256 i = 0; i < went.length; ++i) if (went[i] != 0) _worked[went[i]] = true;
            }
        }
    }

    /// @dev What each function is tried with, and whether it takes coin. There is no default on purpose.
    function _calls(
        string memory signature,
        uint256 token,
        uint256 plan
    ) internal view returns (bytes[] memory calls, bool pays) {
        bytes4 name = bytes4(keccak256(bytes(signature)));
        if (name == lease.mint.selector || name == lease.renew.selector || name == lease.renewSubscription.selector) {
            return (_purchases(name, token, plan), true);
        }
        if (name == lease.requestUpgrade.selector || name == lease.cancelSubscription.selector) {
            return (_ownersCalls(name, token, plan), true);
        }
        calls = _signed(name, token, plan);
        if (calls.length == 0) calls = _ownersCalls(name, token, plan);
        if (calls.length == 0) calls = _rolesCalls(name, token);
        if (calls.length == 0) calls = _moneyCalls(name, token);
        if (calls.length == 0) calls = _tokenCalls(name, token);
        vm.assertTrue(calls.length != 0, string.concat("nobody wrote what a thief would do with ", signature));
    }

    function _purchases(bytes4 name, uint256 token, uint256 plan) private view returns (bytes[] memory calls) {
        calls = new bytes[](2);
        if (name == lease.mint.selector) {
            calls[0] = abi.encodeCall(lease.mint, (purchase(plan, THIEF, HOUR)));
            calls[1] = abi.encodeCall(lease.mint, (purchase(plan, ALICE, HOUR)));
        } else if (name == lease.renew.selector) {
            calls[0] = abi.encodeCall(lease.renew, (token, HOUR, type(uint256).max));
            calls[1] = abi.encodeCall(lease.renew, (token, HOUR, 0));
        } else {
            calls[0] = abi.encodeCall(lease.renewSubscription, (token, HOUR));
            calls[1] = abi.encodeCall(lease.renewSubscription, (token, type(uint64).max));
        }
    }

    function _signed(bytes4 name, uint256 token, uint256 plan) private view returns (bytes[] memory) {
        Permit memory permit = Permit(type(uint256).max, block.timestamp, 27, bytes32(uint256(1)), bytes32(uint256(2)));
        Authorization memory signed = Authorization(ALICE, 0, type(uint256).max, 0, 27, permit.r, permit.s);
        if (name == lease.mintWithPermit.selector) {
            return _one(abi.encodeCall(lease.mintWithPermit, (purchase(plan, THIEF, HOUR), permit)));
        }
        if (name == lease.mintWithAuthorization.selector) {
            return _one(abi.encodeCall(lease.mintWithAuthorization, (purchase(plan, THIEF, HOUR), signed)));
        }
        if (name == lease.renewWithPermit.selector) {
            return _one(abi.encodeCall(lease.renewWithPermit, (token, HOUR, type(uint256).max, permit)));
        }
        return new bytes[](0);
    }

    function _ownersCalls(bytes4 name, uint256 token, uint256 plan) private view returns (bytes[] memory) {
        if (name == lease.setKeys.selector) return _one(abi.encodeCall(lease.setKeys, (token, KEY, "")));
        if (name == lease.requestAction.selector) return _one(abi.encodeCall(lease.requestAction, (token, 4, "")));
        if (name == lease.requestUpgrade.selector) {
            return _one(abi.encodeCall(lease.requestUpgrade, (token, plan + 2, type(uint256).max)));
        }
        bytes4[6] memory plain = [
            lease.allowRenewal.selector,
            lease.cancelSubscription.selector,
            lease.end.selector,
            lease.refund.selector,
            lease.withdrawUpgrade.selector,
            lease.burn.selector
        ];
        for (uint256 i = 0; i < plain.length; ++i) if (name == plain[i]) return _one(abi.encodeWithSelector(name, token));
        return new bytes[](0);
    }

    function _rolesCalls(bytes4 name, uint256 token) private view returns (bytes[] memory calls) {
        if (name == lease.deliver.selector || name == lease.publishConnection.selector) {
            calls = new bytes[](2);
            calls[0] = abi.encodeWithSelector(name, token, ALICE, "false");
            calls[1] = abi.encodeWithSelector(name, token, THIEF, "");
            return calls;
        }
        if (name == lease.createPlan.selector) return _one(abi.encodeCall(lease.createPlan, (offer(NATIVE))));
        if (name == lease.setTerms.selector) return _one(abi.encodeCall(lease.setTerms, (1, 1, 0, true)));
        if (name == lease.setSalesPaused.selector) return _one(abi.encodeCall(lease.setSalesPaused, (true)));
        if (name == lease.cancelDelivered.selector || name == lease.cancelUndelivered.selector) {
            return _one(abi.encodeWithSelector(name, token));
        }
        if (name == lease.completeUpgrade.selector || name == lease.refuseUpgrade.selector) {
            return _answers(name, token);
        }
        bool role = name == lease.grantRole.selector || name == lease.revokeRole.selector;
        if (!role && name != lease.renounceRole.selector) return calls;
        bytes32[3] memory roles = [lease.DEFAULT_ADMIN_ROLE(), lease.TREASURER_ROLE(), lease.PROVISIONER_ROLE()];
        address[3] memory accounts = [THIEF, ADMIN, TREASURER];
        calls = new bytes[](9);
        for (uint256 i = 0; i < 9; ++i) calls[i] = abi.encodeWithSelector(name, roles[i / 3], accounts[i % 3]);
    }

    /// @dev To the upgrade that is asked for, and to one that is not.
    function _answers(bytes4 name, uint256 token) private view returns (bytes[] memory calls) {
        Upgrade memory wanted = lease.upgradeOf(token);
        calls = new bytes[](2);
        calls[0] = abi.encodeWithSelector(name, token, wanted.planId, wanted.deadline);
        calls[1] = abi.encodeWithSelector(name, token, wanted.planId, wanted.deadline + 1);
    }

    function _moneyCalls(bytes4 name, uint256 token) private view returns (bytes[] memory calls) {
        if (name == lease.collect.selector) {
            uint256[] memory tokens = new uint256[](1);
            tokens[0] = token;
            return _one(abi.encodeCall(lease.collect, (tokens)));
        }
        if (name != lease.claim.selector && name != lease.withdraw.selector) return calls;
        calls = new bytes[](2);
        for (uint256 i = 0; i < 2; ++i) {
            address money = i == 0 ? NATIVE : address(coin);
            calls[i] = name == lease.claim.selector
                ? abi.encodeCall(lease.claim, (money, payable(THIEF)))
                : abi.encodeCall(lease.withdraw, (money, payable(THIEF), 1));
        }
    }

    function _tokenCalls(bytes4 name, uint256 token) private view returns (bytes[] memory calls) {
        if (name == lease.approve.selector) return _one(abi.encodeCall(lease.approve, (THIEF, token)));
        if (name == lease.setApprovalForAll.selector) {
            return _one(abi.encodeCall(lease.setApprovalForAll, (THIEF, true)));
        }
        if (name == lease.transferFrom.selector) {
            return _one(abi.encodeCall(lease.transferFrom, (ALICE, THIEF, token)));
        }
        if (name == bytes4(keccak256("safeTransferFrom(address,address,uint256)"))) {
            return _one(abi.encodeWithSelector(name, ALICE, THIEF, token));
        }
        if (name == bytes4(keccak256("safeTransferFrom(address,address,uint256,bytes)"))) {
            return _one(abi.encodeWithSelector(name, ALICE, THIEF, token, ""));
        }
    }

    function _one(bytes memory call) private pure returns (bytes[] memory calls) {
        calls = new bytes[](1);
        calls[0] = call;
    }
}
