// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

/// @title A plain ERC-20: nothing but allowances
/// @notice For tests only. The deployer gets the whole supply.
contract PlainToken is ERC20 {
    /// @notice Makes all of it at once.
    /// @param supply In the smallest unit, given to the deployer.
    constructor(uint256 supply) ERC20("Plain Token", "PLAIN") {
        _mint(_msgSender(), supply);
    }
}

/// @title An ERC-20 with EIP-3009 and without a permit, whose domain only ERC-5267 tells
/// @notice For tests only. The deployer gets the whole supply.
contract SignedToken is ERC20, ERC3009 {
    /// @notice Makes all of it at once.
    /// @param supply In the smallest unit, given to the deployer.
    constructor(uint256 supply) ERC20("Signed Token", "SIGNED") EIP712("Signed Token", "2") {
        _mint(_msgSender(), supply);
    }
}

/// @title An ERC-20 whose permit is of the form that was in use before ERC-2612
/// @notice For tests only: it says what it would take, and takes nothing. The deployer gets the whole supply.
contract OldPermitToken is ERC20, EIP712 {
    /// @notice The type of its permits: for everything or nothing.
    bytes32 public constant PERMIT_TYPEHASH =
        keccak256("Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)");

    /// @notice Makes all of it at once.
    /// @param supply In the smallest unit, given to the deployer.
    constructor(uint256 supply) ERC20("Old Permit Token", "OLD") EIP712("Old Permit Token", "1") {
        _mint(_msgSender(), supply);
    }

    /// @notice The separator of its domain, as that of ERC-2612.
    /// @return The hash that is signed with each permit.
    function DOMAIN_SEPARATOR() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @notice How many permits of an account it took.
    /// @return None: zero of every account.
    function nonces(address) external pure returns (uint256) {
        return 0;
    }
}
