// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Lease} from "../../src/Lease.sol";
import {TestToken} from "../../src/test/TestToken.sol";
import {BlocklistToken, FeeToken, ReentrantToken, SilentToken} from "./Tokens.sol";
import {vm} from "./Vm.sol";

/// @title What a market pays in: native coin, an honest token, and four that mean no good
/// @notice The four change their mind while people deal: one begins to take a fee, one blocks whom it likes, the lease
/// contract too, one never answers, and one calls back whenever it moves. What each lets through is known beforehand.
abstract contract Moneys {
    address internal constant ADMIN = address(0xAD);
    address internal constant TREASURER = address(0x7E);
    address internal constant PROVISIONER = address(0x90);
    address internal constant NATIVE = address(0);

    Lease public immutable lease;
    TestToken public immutable coin;
    address[4] public people = [vm.addr(1), vm.addr(2), vm.addr(3), vm.addr(4)];
    /// @notice Native coin, the honest token, the hostile ones.
    address[6] public moneys;

    FeeToken internal immutable fee = new FeeToken();
    SilentToken internal immutable silent = new SilentToken();
    BlocklistToken internal immutable blocklist = new BlocklistToken();
    ReentrantToken internal immutable again = new ReentrantToken();

    constructor(Lease lease_, TestToken coin_) {
        (lease, coin) = (lease_, coin_);
        moneys = [NATIVE, address(coin_), address(fee), address(silent), address(blocklist), address(again)];
        fee.setPercent(0);
        for (uint256 i = 0; i < 4; ++i) {
            vm.deal(people[i], type(uint128).max);
            vm.prank(people[i]);
            coin_.approve(address(lease_), type(uint256).max);
            for (uint256 j = 2; j < 6; ++j) {
                _told(address(this), moneys[j], abi.encodeCall(IERC20.transfer, (people[i], type(uint96).max)));
                _told(people[i], moneys[j], abi.encodeCall(IERC20.approve, (address(lease_), type(uint256).max)));
            }
        }
    }

    /// @notice A hostile token changes its mind, and maybe back later.
    function mood(uint8 what, uint256 who, uint256 percent) external {
        if (what % 3 == 0) {
            fee.setPercent(fee.percent() == 0 ? 1 + (percent % 100) : 0);
            return;
        }
        address account = what % 3 == 1 ? people[who % 4] : [address(lease), TREASURER][who % 2];
        if (blocklist.blocked(account)) blocklist.unblock(account);
        else blocklist.block_(account);
    }

    /// @dev Whether money can be sent at all, whatever of it arrives.
    function _moves(address money, address from, address to) internal view returns (bool) {
        return money != address(blocklist) || !(blocklist.blocked(from) || blocklist.blocked(to));
    }

    /// @dev Whether all of a payment arrives.
    function _pays(address money, address from, uint256 amount) internal view returns (bool) {
        return _moves(money, from, address(lease)) && (money != address(fee) || fee.feeOf(amount) == 0);
    }

    function _held(address money) internal view returns (uint256) {
        return money == NATIVE ? address(lease).balance : IERC20(money).balanceOf(address(lease));
    }

    /// @dev Whatever it answers, if it answers at all.
    function _told(address who, address money, bytes memory data) private {
        vm.prank(who);
        (bool done, ) = money.call(data);
        vm.assertTrue(done, "a token refused before anybody dealt in it");
    }
}
