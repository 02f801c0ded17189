// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Lease} from "../../src/Lease.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {Moneys} from "./Moneys.sol";

/// @title What was paid for each lease, and where that went
/// @notice Written from credits before and after each deal. A deal within a deal writes its part first, and the outer one
/// what is left.
abstract contract Books is Moneys {
    struct Account {
        uint256 paid;
        uint256 returned;
        uint256 earned;
        uint256 fees;
        uint256 highestPrice;
        /// When its time would have begun if it had run without a pause until now.
        uint256 since;
    }

    mapping(uint256 token => Account) public accounts;

    /// @dev What was before a deal of one lease.
    struct Before {
        address coinOf;
        address owner;
        uint256 pot;
        uint256 credit;
        uint256 potWritten;
        uint256 creditWritten;
        uint256 expiration;
    }

    /// @dev What was written of credits so far: a deal within a deal has written its part when the outer one writes.
    mapping(address money => mapping(address account => uint256)) private _writtenOf;

    constructor(Lease lease_, TestToken coin_) Moneys(lease_, coin_) {}

    function exists(uint256 token) public view returns (bool) {
        try lease.ownerOf(token) returns (address) {
            return true;
        } catch {
            return false;
        }
    }

    function _pick(uint256 seed) internal view returns (uint256) {
        uint256 last = lease.lastTokenId();
        if (last == 0) return 0;
        for (uint256 i = 0; i < last; ++i) {
            uint256 token = 1 + (((seed % last) + i) % last);
            if (exists(token)) return token;
        }
        return 0;
    }

    function _before(uint256 token) internal view returns (Before memory before) {
        before.coinOf = lease.plan(lease.planOf(token)).paymentToken;
        before.owner = lease.ownerOf(token);
        before.pot = lease.creditOf(before.coinOf, address(0));
        before.credit = lease.creditOf(before.coinOf, before.owner);
        before.potWritten = _writtenOf[before.coinOf][address(0)];
        before.creditWritten = _writtenOf[before.coinOf][before.owner];
        before.expiration = lease.expiresAt(token);
    }

    function _written(uint256 token, Before memory before) internal {
        mapping(address account => uint256) storage written = _writtenOf[before.coinOf];
        uint256 earned = lease.creditOf(before.coinOf, address(0)) - before.pot;
        earned -= written[address(0)] - before.potWritten;
        uint256 returned = lease.creditOf(before.coinOf, before.owner) - before.credit;
        returned -= written[before.owner] - before.creditWritten;
        accounts[token].earned += earned;
        accounts[token].returned += returned;
        written[address(0)] += earned;
        written[before.owner] += returned;
    }

    function _atMost(uint256 token, uint256 price) internal {
        if (price > accounts[token].highestPrice) accounts[token].highestPrice = price;
    }
}
