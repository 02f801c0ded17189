// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";

/// @title A plain ERC-20 with permit and EIP-3009, for demonstrations and tests
/// @notice Six decimals, as the usual stable coins have. The deployer gets the whole supply. Worth nothing.
contract TestToken is ERC20, ERC20Permit, ERC3009 {
    /// @notice Makes all of it at once.
    /// @param supply In the smallest unit, given to the deployer.
    constructor(uint256 supply) ERC20("Test Token", "TEST") ERC20Permit("Test Token") {
        _mint(_msgSender(), supply);
    }

    /// @notice How many digits of an amount are behind the point.
    /// @return Six.
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
