// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC3009} from "@openzeppelin/contracts/interfaces/draft-IERC3009.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Ledger} from "./Ledger.sol";
import {Authorization, Holding, Permit, Plan, Purchase, Upgrade} from "./LeaseTypes.sol";
import {Owners} from "./Owners.sol";
import {Plans} from "./Plans.sol";

/// @title Buying and renewing
/// @notice Three ways to pay a purchase: native coin or an allowance; a permit in the same call; or an authorization
/// that anybody may relay. All end in the same lease: paid into escrow, with an expiry that is provisional until its
/// delivery.
/// @dev `_mint`, not `_safeMint`: a receiver's hook could move the token before its other events are out, and would
/// keep out smart accounts that hold tokens well without one. The buyer names the recipient and answers for it.
abstract contract Sales is Plans, Owners, Ledger {
    /// @notice Buys a lease. Emits `Transfer`, `LeaseMinted`, `SubscriptionUpdate`, `EscrowUpdate` and, if a key is
    /// given, `KeysChanged`, in this order. Native coin beyond the price is sent back.
    /// @param purchase What is bought, for whom, and what it may cost at most.
    /// @return tokenId Contiguous, starting at 1.
    function mint(Purchase calldata purchase) external payable nonReentrant returns (uint256 tokenId) {
        uint256 amount;
        (tokenId, amount) = _sell(purchase, _msgSender());
        _take(_plans[purchase.planId].paymentToken, amount);
    }

    /// @notice As `mint`, after using a permit of the caller. A permit that fails, because somebody else used it first,
    /// stops nothing: the allowance it gave is there, or the payment fails.
    /// @param purchase As for `mint`; of a plan that is paid in a token.
    /// @param permit For at least the price.
    /// @return tokenId Contiguous, starting at 1.
    function mintWithPermit(
        Purchase calldata purchase,
        Permit calldata permit
    ) external nonReentrant returns (uint256 tokenId) {
        uint256 amount;
        (tokenId, amount) = _sell(purchase, _msgSender());
        address token = _plans[purchase.planId].paymentToken;
        _usePermit(token, permit);
        _take(token, amount);
    }

    /// @notice As `mint`, paid by whoever signed the authorization and sent by anybody: the nonce that was signed is a
    /// hash of the whole purchase, and the amount its price, so that a relayer can complete exactly this purchase.
    /// @param purchase As for `mint`, to the letter what was signed; of a plan that is paid in a token with EIP-3009.
    /// @param signed For exactly the price.
    /// @return tokenId Contiguous, starting at 1.
    function mintWithAuthorization(
        Purchase calldata purchase,
        Authorization calldata signed
    ) external nonReentrant returns (uint256 tokenId) {
        uint256 amount;
        (tokenId, amount) = _sell(purchase, signed.from);
        address token = _plans[purchase.planId].paymentToken;
        if (token == address(0)) revert NotAToken(token);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC3009(token).receiveWithAuthorization(
            signed.from,
            address(this),
            amount,
            signed.validAfter,
            signed.validBefore,
            authorizationNonce(purchase, signed.salt),
            signed.v,
            signed.r,
            signed.s
        );
        _requireReceived(token, before, amount);
    }

    /// @notice The nonce to sign for `mintWithAuthorization`.
    /// @param purchase What is to be bought.
    /// @param salt Any value; another one for a second purchase of the very same.
    /// @return A hash of every parameter of the purchase and of the salt.
    function authorizationNonce(Purchase calldata purchase, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(purchase, salt));
    }

    /// @notice Extends a lease from now or from its expiry, whichever is later; before its delivery, it extends what
    /// the delivery starts. Anyone may pay. Native coin beyond the price is sent back.
    /// @dev The price is `priceOf`. Who pays in a token with an open allowance for somebody else's lease should use
    /// `renew`: its owner can make it dearer, by asking for an upgrade.
    /// @param tokenId Any lease that can be renewed.
    /// @param duration By how many seconds, at least `MIN_DURATION`.
    function renewSubscription(uint256 tokenId, uint64 duration) external payable nonReentrant {
        _take(_paymentToken(_holdings[tokenId]), _renew(tokenId, duration, type(uint256).max));
    }

    /// @notice As `renewSubscription`; reverts if it costs more than the caller accepts.
    /// @param tokenId Any lease that can be renewed.
    /// @param duration By how many seconds, at least `MIN_DURATION`.
    /// @param maxAmount What it may cost, in the smallest unit of the lease's payment token.
    function renew(uint256 tokenId, uint64 duration, uint256 maxAmount) external payable nonReentrant {
        _take(_paymentToken(_holdings[tokenId]), _renew(tokenId, duration, maxAmount));
    }

    /// @notice As `renew`, after using a permit of the caller.
    /// @param tokenId Any lease that can be renewed and is paid in a token.
    /// @param duration By how many seconds, at least `MIN_DURATION`.
    /// @param maxAmount What it may cost, in the smallest unit of the lease's payment token.
    /// @param permit For at least the price; it may be for more than `maxAmount`.
    function renewWithPermit(
        uint256 tokenId,
        uint64 duration,
        uint256 maxAmount,
        Permit calldata permit
    ) external nonReentrant {
        address token = _paymentToken(_holdings[tokenId]);
        uint256 amount = _renew(tokenId, duration, maxAmount);
        _usePermit(token, permit);
        _take(token, amount);
    }

    /// @notice What a second of a renewal costs: the lowest price at which this lease was paid for, or the plan's
    /// present price if that is lower; while an upgrade is asked for, the price of the plan that is wanted.
    /// @param tokenId Any lease there is.
    /// @return For each second, in the smallest unit of the lease's payment token.
    function priceOf(uint256 tokenId) external view returns (uint256) {
        Holding storage holding = _holdingOf(tokenId);
        return uint256(_ownPrice(holding)) + _surcharge(tokenId, holding);
    }

    // --- inside --------------------------------------------------------------------------------------------------

    /// @notice Makes a lease with all its facts, before anything is paid for it: who calls this takes the money and
    /// reverts if it does not come.
    /// @param purchase What is bought.
    /// @param payer Who is to pay.
    /// @return tokenId The next one.
    /// @return amount The price, in the smallest unit of the plan's payment token.
    function _sell(Purchase calldata purchase, address payer) private returns (uint256 tokenId, uint256 amount) {
        if (block.timestamp > purchase.deadline) revert DeadlinePassed(purchase.deadline, block.timestamp);
        Plan storage sold = _takeFromStock(purchase.planId);
        amount = _cost(sold.pricePerSecond, purchase.duration, purchase.maxAmount);
        _requireWithin(purchase.duration);

        tokenId = ++lastTokenId;
        Holding storage holding = _holdings[tokenId];
        holding.planId = uint32(purchase.planId);
        holding.pricePerSecond = sold.pricePerSecond;
        holding.secondsBought = purchase.duration;
        holding.escrow = amount;
        _mint(purchase.recipient, tokenId);
        emit LeaseMinted(tokenId, purchase.planId, payer, purchase.duration, amount);
        _setExpiration(tokenId, block.timestamp + sold.deliveryTime);
        _sayEscrow(tokenId);
        if (bytes(purchase.sshKey).length != 0 || purchase.encryptionKey.length != 0) {
            _setKeys(tokenId, purchase.sshKey, purchase.encryptionKey);
        }
    }

    /// @notice Extends a lease before anything is paid for it, as `_sell` makes one.
    /// @param tokenId What was asked for.
    /// @param duration By how many seconds.
    /// @param maxAmount What it may cost, in the smallest unit of the lease's payment token.
    /// @return amount The price, in the same unit, with what goes aside for an upgrade.
    function _renew(uint256 tokenId, uint64 duration, uint256 maxAmount) private returns (uint256 amount) {
        Holding storage holding = _holdingOf(tokenId);
        if (holding.closed) revert LeaseClosed(tokenId);
        if (holding.declined) revert RenewalDeclined(tokenId);
        uint256 endOfGrace = _endOfGrace(holding);
        if (block.timestamp >= endOfGrace) revert GraceIsOver(tokenId, endOfGrace);

        uint128 price = _ownPrice(holding);
        uint256 surcharge = _surcharge(tokenId, holding);
        amount = _cost(price + surcharge, duration, maxAmount);
        _settle(tokenId);
        holding.pricePerSecond = price;
        holding.escrow += price * uint256(duration);
        if (surcharge != 0) _setAside(tokenId, surcharge * duration);
        emit LeaseRenewed(tokenId, _msgSender(), duration, amount);
        _extend(tokenId, holding, duration);
        _sayEscrow(tokenId);
    }

    /// @notice Adds time to a lease and says its expiry.
    /// @param tokenId The lease.
    /// @param holding The same.
    /// @param duration By how many seconds.
    function _extend(uint256 tokenId, Holding storage holding, uint64 duration) private {
        if (holding.deliveredAt == 0) {
            _requireWithin(uint256(holding.secondsBought) + duration);
            holding.secondsBought += duration;
            _setExpiration(tokenId, holding.expiration);
            return;
        }
        uint256 start = block.timestamp > holding.expiration ? block.timestamp : holding.expiration;
        _requireWithin(start + duration - block.timestamp);
        _setExpiration(tokenId, start + duration);
        emit MetadataUpdate(tokenId);
    }

    /// @notice Puts more aside for the upgrade that is asked for, and says how much there is.
    /// @param tokenId The lease.
    /// @param amount By how much, in the smallest unit of its payment token.
    function _setAside(uint256 tokenId, uint256 amount) private {
        Upgrade storage wanted = _upgrades[tokenId];
        wanted.aside += amount;
        emit UpgradeUpdate(tokenId, wanted.planId, wanted.deadline, wanted.aside);
    }

    /// @notice Tries a permit of the caller's, and goes on if it fails.
    /// @param token The payment token; the native coin has no permits and is refused.
    /// @param permit What the caller signed.
    function _usePermit(address token, Permit calldata permit) private {
        if (token == address(0)) revert NotAToken(token);
        try
            IERC20Permit(token).permit(
                _msgSender(),
                address(this),
                permit.value,
                permit.deadline,
                permit.v,
                permit.r,
                permit.s
            )
        {} catch {}
    }

    /// @notice What a second costs while no upgrade is asked for.
    /// @param holding The lease.
    /// @return In the smallest unit of its payment token.
    function _ownPrice(Holding storage holding) private view returns (uint128) {
        return _lower(_plans[holding.planId].pricePerSecond, holding.pricePerSecond);
    }

    /// @notice What a second costs more while an upgrade is asked for, so that its price is paid for that second too.
    /// @param tokenId The lease.
    /// @param holding The same.
    /// @return In the smallest unit of its payment token; zero without an upgrade, or once it is overdue.
    function _surcharge(uint256 tokenId, Holding storage holding) private view returns (uint256) {
        Upgrade storage wanted = _upgrades[tokenId];
        uint256 own = _ownPrice(holding);
        bool open = wanted.planId != 0 && block.timestamp < wanted.deadline;
        return open && wanted.pricePerSecond > own ? wanted.pricePerSecond - own : 0;
    }

    /// @notice The price of some time; reverts if that is too short or too dear.
    /// @param price Of a second, in the smallest unit of the payment token.
    /// @param duration In seconds.
    /// @param maxAmount What it may cost, in the same unit.
    /// @return amount What it costs, in the same unit.
    function _cost(uint256 price, uint64 duration, uint256 maxAmount) private pure returns (uint256 amount) {
        if (duration < MIN_DURATION) revert DurationTooShort(duration, MIN_DURATION);
        amount = price * duration;
        if (amount > maxAmount) revert PriceAboveMaximum(amount, maxAmount);
    }

    /// @notice Reverts if a lease would be paid for beyond the horizon.
    /// @param ahead For how many seconds from now.
    function _requireWithin(uint256 ahead) private view {
        if (ahead > MAX_HORIZON) revert BeyondHorizon(block.timestamp + ahead, block.timestamp + MAX_HORIZON);
    }
}
