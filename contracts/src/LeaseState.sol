// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC5643} from "./IERC5643.sol";
import {Holding, Plan, Upgrade} from "./LeaseTypes.sol";
import {LeaseWords} from "./LeaseWords.sol";

/// @title What a lease contract remembers, its bounds, and the questions that every part of it asks
/// @notice Bounds are constants: no role can change them.
/// @dev Nothing here changes anything, except `_setExpiration`: the one way by which an expiry changes.
abstract contract LeaseState is ERC721, AccessControl, ReentrancyGuardTransient, IERC5643, LeaseWords {
    /// @notice May take out what was earned. The default admin role defines plans, sets terms and pauses sales.
    bytes32 public constant TREASURER_ROLE = keccak256("TREASURER_ROLE");
    /// @notice Delivers, cancels what was never delivered, and burns what is over: a hot key, and no more than that.
    bytes32 public constant PROVISIONER_ROLE = keccak256("PROVISIONER_ROLE");

    /// @notice The `kind` of a plan that gives a virtual machine.
    uint8 public constant KIND_VM = 0;
    /// @notice The `kind` of a plan that gives a container.
    uint8 public constant KIND_CONTAINER = 1;

    /// @notice The least time that a purchase or a renewal buys, in seconds.
    uint64 public constant MIN_DURATION = 1 minutes;
    /// @notice How far ahead of the present a lease may be paid for, in seconds.
    uint64 public constant MAX_HORIZON = 1096 days;
    /// @notice The longest grace that a plan may promise, in seconds.
    uint64 public constant MAX_GRACE = 365 days;
    /// @notice The shortest time that a plan may give itself to deliver, in seconds.
    uint64 public constant MIN_DELIVERY_TIME = 5 minutes;
    /// @notice The longest time that a plan may give itself to deliver, in seconds.
    uint64 public constant MAX_DELIVERY_TIME = 30 days;
    /// @notice The highest fee of an early end, in hundredths of a percent of the unused rest.
    uint16 public constant MAX_END_FEE = 2_500;
    /// @notice For so many seconds after its delivery, or after an upgrade, ending a lease costs no fee.
    uint64 public constant FREE_END_PERIOD = 24 hours;
    /// @notice The longest name of a plan, in bytes.
    uint256 public constant MAX_NAME_LENGTH = 64;
    /// @notice The longest SSH public key, and the longest encryption key, in bytes.
    uint256 public constant MAX_KEY_LENGTH = 1024;
    /// @notice The longest connection, in bytes.
    uint256 public constant MAX_CONNECTION_LENGTH = 2048;
    /// @notice The longest data of a requested action, in bytes.
    uint256 public constant MAX_ACTION_LENGTH = 256;

    /// @dev The interface of `MetadataUpdate`: an ERC-165 identifier that stands for two events and no function.
    bytes4 private constant ERC4906 = 0x49064906;

    /// @notice How many plans exist; their ids are 1 to this number.
    uint256 public planCount;
    /// @notice The id of the newest lease; ids start at 1 and are never given twice.
    uint256 public lastTokenId;
    /// @notice Whether new sales are paused. Renewals, refunds, transfers and ends never are.
    bool public salesPaused;

    /// @dev From id 1; a plan is never removed.
    mapping(uint256 planId => Plan) internal _plans;
    /// @dev What there is of each token; nothing before its mint and after its removal.
    mapping(uint256 tokenId => Holding) internal _holdings;
    /// @dev What is asked for and not answered, by lease.
    mapping(uint256 tokenId => Upgrade) internal _upgrades;

    /// @notice Only for the owner of a lease: an approved address is refused.
    /// @param tokenId The lease.
    modifier onlyOwnerOf(uint256 tokenId) {
        _requireOwner(tokenId);
        _;
    }

    /// @notice ERC-165, ERC-721 with metadata, ERC-4906, ERC-5643 and AccessControl.
    /// @param interfaceId An ERC-165 identifier.
    /// @return Whether it is one of theirs.
    function supportsInterface(bytes4 interfaceId) public view override(ERC721, AccessControl) returns (bool) {
        return
            interfaceId == type(IERC5643).interfaceId || interfaceId == ERC4906 || super.supportsInterface(interfaceId);
    }

    /// @notice Whatever gives a token another owner comes through here: a mint, a transfer, a burn.
    /// @param to The next owner; zero at a burn.
    /// @param tokenId The lease.
    /// @param auth Who asks and has to be owner or approved; zero if that is known.
    /// @return from The owner before; zero at a mint.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from != address(0) && to != address(0)) _changedHands(tokenId);
    }

    /// @notice What a transfer, to oneself too, does to a lease. Not called at a mint, nor at a burn.
    /// @param tokenId The lease, which is the new owner's already.
    function _changedHands(uint256 tokenId) internal virtual;

    /// @notice Sets the expiry and says it, also where it is the old one.
    /// @param tokenId The lease.
    /// @param expiration In Unix seconds.
    function _setExpiration(uint256 tokenId, uint256 expiration) internal {
        _holdings[tokenId].expiration = uint64(expiration);
        emit SubscriptionUpdate(tokenId, uint64(expiration));
    }

    /// @notice Reverts unless the caller is the owner.
    /// @param tokenId The lease.
    function _requireOwner(uint256 tokenId) internal view {
        if (_requireOwned(tokenId) != _msgSender()) revert NotLeaseOwner(tokenId, _msgSender());
    }

    /// @notice Reverts unless there is such a plan.
    /// @param planId What was asked for.
    function _requirePlan(uint256 planId) internal view {
        if (planId == 0 || planId > planCount) revert UnknownPlan(planId);
    }

    /// @notice The holding of a lease; reverts if there is no such token.
    /// @param tokenId What was asked for.
    /// @return Where it is kept.
    function _holdingOf(uint256 tokenId) internal view returns (Holding storage) {
        _requireOwned(tokenId);
        return _holdings[tokenId];
    }

    /// @notice The holding of a lease whose time runs; reverts before the delivery and from the expiry on.
    /// @param tokenId What was asked for.
    /// @return holding Where it is kept.
    function _running(uint256 tokenId) internal view returns (Holding storage holding) {
        holding = _holdingOf(tokenId);
        if (holding.deliveredAt == 0) revert NotDelivered(tokenId);
        if (block.timestamp >= holding.expiration) revert AlreadyExpired(tokenId, holding.expiration);
    }

    /// @notice The holding of a lease that was not delivered; reverts after the delivery.
    /// @param tokenId What was asked for.
    /// @return holding Where it is kept.
    function _undelivered(uint256 tokenId) internal view returns (Holding storage holding) {
        holding = _holdingOf(tokenId);
        if (holding.deliveredAt != 0) revert AlreadyDelivered(tokenId, holding.deliveredAt);
    }

    /// @notice From this second on a lease is not renewed any more. One that was not delivered in time has no grace:
    /// its money waits for its owner.
    /// @param holding The lease.
    /// @return In Unix seconds.
    function _endOfGrace(Holding storage holding) internal view returns (uint256) {
        uint256 expiration = holding.expiration;
        return holding.deliveredAt == 0 ? expiration : expiration + _plans[holding.planId].grace;
    }

    /// @notice What a lease is paid in.
    /// @param holding The lease.
    /// @return The ERC-20; zero is the native coin.
    function _paymentToken(Holding storage holding) internal view returns (address) {
        return _plans[holding.planId].paymentToken;
    }

    /// @notice The lower of two prices.
    /// @param one In any unit.
    /// @param other In the same.
    /// @return Whichever is lower.
    function _lower(uint128 one, uint128 other) internal pure returns (uint128) {
        return one < other ? one : other;
    }

    /// @notice Bytes 0x20 to 0x7e only: no control character, and none of Unicode's line breaks.
    /// @param text What was given.
    /// @param maximum How long it may be, in bytes.
    function _requirePrintable(string calldata text, uint256 maximum) internal pure {
        bytes calldata raw = bytes(text);
        _requireShort(raw, maximum);
        for (uint256 i = 0; i < raw.length; ++i) {
            if (raw[i] < 0x20 || raw[i] > 0x7e) revert NotPrintable(i);
        }
    }

    /// @notice Reverts if there is too much of it.
    /// @param raw What was given.
    /// @param maximum How long it may be, in bytes.
    function _requireShort(bytes calldata raw, uint256 maximum) internal pure {
        if (raw.length > maximum) revert TooLong(raw.length, maximum);
    }
}
