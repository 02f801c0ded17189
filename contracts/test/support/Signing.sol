// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lease} from "../../src/Lease.sol";
import {Authorization, Permit, Purchase} from "../../src/LeaseTypes.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {vm} from "./Vm.sol";

/// @title How a buyer who has only a key and a token pays
library Signing {
    bytes32 private constant PERMIT =
        keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
    bytes32 private constant RECEIVE =
        keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );

    /// @dev Lets the contract take `value` in this second.
    function permit(
        Lease lease,
        TestToken coin,
        uint256 key,
        uint256 value
    ) internal view returns (Permit memory signed) {
        (signed.value, signed.deadline) = (value, block.timestamp);
        address owner = vm.addr(key);
        bytes32 terms = keccak256(
            abi.encode(PERMIT, owner, address(lease), value, coin.nonces(owner), signed.deadline)
        );
        (signed.v, signed.r, signed.s) = vm.sign(key, _digest(coin, terms));
    }

    /// @dev Pays `value` for exactly the purchase `wanted`, in this second.
    function authorization(
        Lease lease,
        TestToken coin,
        uint256 key,
        Purchase memory wanted,
        uint256 value,
        bytes32 salt
    ) internal view returns (Authorization memory signed) {
        (signed.from, signed.validBefore, signed.salt) = (vm.addr(key), block.timestamp + 1, salt);
        bytes32 nonce = lease.authorizationNonce(wanted, salt);
        bytes32 terms = keccak256(
            abi.encode(RECEIVE, signed.from, address(lease), value, 0, signed.validBefore, nonce)
        );
        (signed.v, signed.r, signed.s) = vm.sign(key, _digest(coin, terms));
    }

    function _digest(TestToken coin, bytes32 terms) private view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", coin.DOMAIN_SEPARATOR(), terms));
    }
}
