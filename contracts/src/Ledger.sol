// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {Holding} from "./LeaseTypes.sol";
import {LeaseState} from "./LeaseState.sol";

/// @title Who is owed what: escrow of leases, credits of people, and the operator's pot
/// @notice Money comes in for one lease at a time and is the buyer's until time has passed on a delivered machine. It
/// leaves in two steps: first it becomes somebody's credit, then whoever has the credit takes it out. So a token or a
/// receiver that refuses, re-enters or burns gas stops only the call of the one who is paid.
/// @dev The law: for each payment token, this contract holds at least all escrows, all that is set aside for upgrades,
/// and all credits. Escrow pays evenly for the time from `settledAt` to the expiry; a renewal puts its price into the
/// same pot, so that what a second costs is what is left divided by the seconds left. Nothing here loops over leases.
/// Amounts are in the smallest unit of their token: wei, where that is zero, the native coin.
abstract contract Ledger is LeaseState {
    using SafeERC20 for IERC20;

    /// @dev Whose credit is the operator's.
    address internal constant OPERATOR = address(0);

    /// @dev What each account can take out of each token, in its smallest unit.
    mapping(address token => mapping(address account => uint256)) private _credits;

    // --- coming out ----------------------------------------------------------------------------------------------

    /// @notice Makes what was earned of these leases the operator's. Ids of no lease are passed over, so that a lease
    /// burned meanwhile stops nothing.
    /// @param tokenIds Of any leases, in any order, as many as one block has gas for.
    function collect(uint256[] calldata tokenIds) external onlyRole(TREASURER_ROLE) {
        for (uint256 i = 0; i < tokenIds.length; ++i) {
            if (_ownerOf(tokenIds[i]) == address(0)) continue;
            _settle(tokenIds[i]);
            _sayEscrow(tokenIds[i]);
        }
    }

    /// @notice Takes out what was collected.
    /// @param token An ERC-20; zero is the native coin.
    /// @param to Where to.
    /// @param amount At most the operator's credit, in the token's smallest unit.
    function withdraw(
        address token,
        address payable to,
        uint256 amount
    ) external nonReentrant onlyRole(TREASURER_ROLE) {
        _payOut(token, OPERATOR, to, amount);
    }

    /// @notice Takes out all that the caller is owed of a token: refunds, and rests of leases that ended early.
    /// @param token An ERC-20; zero is the native coin.
    /// @param to Where to: a token that refuses to pay the caller may pay another address of theirs.
    /// @return amount How much it was, in the token's smallest unit.
    function claim(address token, address payable to) external nonReentrant returns (uint256 amount) {
        amount = _credits[token][_msgSender()];
        if (amount == 0) revert NotOwed(0, 1);
        _payOut(token, _msgSender(), to, amount);
    }

    /// @notice What an account can take out of a token.
    /// @param token An ERC-20; zero is the native coin.
    /// @param account Whose credit; zero is the operator's.
    /// @return In the token's smallest unit.
    function creditOf(address token, address account) external view returns (uint256) {
        return _credits[token][account];
    }

    /// @notice What is in escrow for a lease at this moment, in the smallest unit of its payment token.
    /// @param tokenId Any lease there is.
    /// @return earned What time has passed for, which the operator may collect.
    /// @return unused What goes back, or is earned later.
    /// @return aside What is set aside for an upgrade, and is nobody's until that is done or dropped.
    function escrowOf(uint256 tokenId) external view returns (uint256 earned, uint256 unused, uint256 aside) {
        Holding storage holding = _holdingOf(tokenId);
        earned = _earned(holding);
        return (earned, holding.escrow - earned, _upgrades[tokenId].aside);
    }

    /// @notice Sends money away, once the credit it comes from is lowered: a receiver that calls back finds it lower.
    /// @param token An ERC-20; zero is the native coin.
    /// @param account Whose credit it comes from.
    /// @param to Where to.
    /// @param amount In the token's smallest unit.
    function _payOut(address token, address account, address payable to, uint256 amount) private {
        uint256 owed = _credits[token][account];
        if (amount > owed) revert NotOwed(owed, amount);
        _setCredit(token, account, owed - amount);
        emit Withdrawn(token, to, amount);
        if (token == address(0)) Address.sendValue(to, amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    // --- coming in -----------------------------------------------------------------------------------------------

    /// @notice Takes exactly `amount` from the caller: the last thing a payable function does.
    /// @param token An ERC-20, by allowance; zero is the native coin, of which what is too much is sent back.
    /// @param amount In the token's smallest unit.
    function _take(address token, uint256 amount) internal {
        if (token == address(0)) {
            if (msg.value < amount) revert NotEnoughSent(msg.value, amount);
            if (msg.value > amount) Address.sendValue(payable(_msgSender()), msg.value - amount);
            return;
        }
        if (msg.value != 0) revert NativeCoinNotTaken(msg.value);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(_msgSender(), address(this), amount);
        _requireReceived(token, before, amount);
    }

    /// @notice Reverts unless a token has paid exactly what it was asked.
    /// @param token An ERC-20.
    /// @param before What this contract had of it before.
    /// @param amount What it has to have more now, in the token's smallest unit.
    function _requireReceived(address token, uint256 before, uint256 amount) internal view {
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert TokenTookFee(received, amount);
    }

    // --- inside --------------------------------------------------------------------------------------------------

    /// @notice What the operator has earned of a lease's escrow since it was settled.
    /// @param holding The lease.
    /// @return In the smallest unit of its payment token, rounded down; all of it from the expiry on.
    function _earned(Holding storage holding) internal view returns (uint256) {
        if (holding.deliveredAt == 0) return 0;
        uint256 from = holding.settledAt;
        uint256 to = holding.expiration;
        if (block.timestamp >= to) return holding.escrow;
        return (holding.escrow * (block.timestamp - from)) / (to - from);
    }

    /// @notice Makes what was earned the operator's. Whoever changes an expiry or an escrow settles first.
    /// @param tokenId The lease; nothing of an undelivered one is earned.
    function _settle(uint256 tokenId) internal {
        Holding storage holding = _holdings[tokenId];
        if (holding.deliveredAt == 0) return;
        uint256 earned = _earned(holding);
        holding.settledAt = uint64(block.timestamp);
        if (earned == 0) return;
        holding.escrow -= earned;
        _credit(_paymentToken(holding), OPERATOR, earned);
    }

    /// @notice Says what is in escrow, and since when.
    /// @param tokenId The lease.
    function _sayEscrow(uint256 tokenId) internal {
        emit EscrowUpdate(tokenId, _holdings[tokenId].escrow, _holdings[tokenId].settledAt);
    }

    /// @notice Gives the rest of a settled lease back: to its owner, less a fee.
    /// @dev Whoever owns the token owns the claim, since what a lease is sold for on a market is the time that is left
    /// of it; that the payer may be somebody else, as with a gift, does not matter.
    /// @param tokenId The lease.
    /// @param feeRate What the operator keeps of it, in hundredths of a percent, rounded down.
    function _giveBack(uint256 tokenId, uint256 feeRate) internal {
        Holding storage holding = _holdings[tokenId];
        uint256 rest = holding.escrow;
        uint256 fee = (rest * feeRate) / 10_000;
        address token = _paymentToken(holding);
        address owner = _ownerOf(tokenId);
        holding.escrow = 0;
        if (fee != 0) _credit(token, OPERATOR, fee);
        if (rest != fee) _credit(token, owner, rest - fee);
        emit Refunded(tokenId, owner, rest - fee, fee);
        _sayEscrow(tokenId);
    }

    /// @notice Adds to what an account can take out.
    /// @param token An ERC-20; zero is the native coin.
    /// @param account Whose credit; zero is the operator's.
    /// @param amount By how much, in the token's smallest unit.
    function _credit(address token, address account, uint256 amount) internal {
        _setCredit(token, account, _credits[token][account] + amount);
    }

    /// @notice Sets what an account can take out, and says it.
    /// @param token An ERC-20; zero is the native coin.
    /// @param account Whose credit; zero is the operator's.
    /// @param credit All of it from now on, in the token's smallest unit.
    function _setCredit(address token, address account, uint256 credit) private {
        _credits[token][account] = credit;
        emit CreditUpdate(token, account, credit);
    }
}
