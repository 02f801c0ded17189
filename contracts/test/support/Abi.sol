// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {vm} from "./Vm.sol";

/// @title What the compiled contract can be called with, out of what the compiler wrote, so that nothing is forgotten
library Abi {
    string private constant COMPILED = "out/Lease.sol/Lease.json";

    /// @notice The signatures of all functions that change anything or take money.
    function changing() internal view returns (string[] memory signatures) {
        string memory json = vm.readFile(COMPILED);
        string[] memory all = vm.parseJsonKeys(json, ".methodIdentifiers");
        bytes32[] memory names = _changing(json, all.length);
        uint256 count;
        signatures = new string[](all.length);
        for (uint256 i = 0; i < all.length; ++i) {
            bytes32 name = _name(all[i]);
            for (uint256 j = 0; j < names.length && names[j] != 0; ++j) {
                if (names[j] != name) continue;
                signatures[count++] = all[i];
                break;
            }
        }
        assembly ("memory-safe") {
            mstore(signatures, count)
        }
    }

    function _changing(string memory json, uint256 functions) private view returns (bytes32[] memory names) {
        names = new bytes32[](functions);
        uint256 count;
        for (uint256 i = 0; vm.keyExistsJson(json, _path(i, "type")); ++i) {
            if (_hash(vm.parseJsonString(json, _path(i, "type"))) != _hash("function")) continue;
            bytes32 how = _hash(vm.parseJsonString(json, _path(i, "stateMutability")));
            if (how == _hash("view") || how == _hash("pure")) continue;
            names[count++] = _hash(vm.parseJsonString(json, _path(i, "name")));
        }
    }

    function _path(uint256 index, string memory key) private pure returns (string memory) {
        return string.concat(".abi[", vm.toString(index), "].", key);
    }

    function _name(string memory signature) private pure returns (bytes32) {
        bytes memory text = bytes(signature);
        uint256 length;
        while (text[length] != "(") ++length;
        bytes memory name = new bytes(length);
        for (uint256 i = 0; i < length; ++i) name[i] = text[i];
        return keccak256(name);
    }

    function _hash(string memory text) private pure returns (bytes32) {
        return keccak256(bytes(text));
    }
}
