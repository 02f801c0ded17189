// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ERC721} from "@openzeppelin/contracts/token/ERC721/ERC721.sol";
import {Address} from "@openzeppelin/contracts/utils/Address.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IERC5643} from "./IERC5643.sol";

/// @title Lease: a machine for as long as it is paid for
/// @notice Whoever owns a token may use the machine that it stands for, until it expires. Anyone may renew any lease.
/// @dev The law of this contract: **its events carry absolute facts**. A reader that folds the logs and never adds two
/// numbers knows every plan, owner, key and expiry. Each change of an expiry emits `SubscriptionUpdate` with the new
/// absolute value, and each change of keys emits `KeysChanged` with what holds from then on.
///
/// Payments belong to the operator at once: the treasurer withdraws them. There is no escrow and no upgradeability.
/// A lease is *expired* from the second `expiresAt` on; for the plan's grace after that it can still be renewed,
/// and not one second longer, so that a payment can't race the destruction of the machine.
contract Lease is ERC721, AccessControl, ReentrancyGuardTransient, IERC5643 {
    using SafeERC20 for IERC20;

    /// @notice What is sold. All but the last four members are fixed when the plan is created.
    struct Plan {
        /// What buyers see; one line of printable ASCII.
        string name;
        /// `KIND_VM` or `KIND_CONTAINER`.
        uint8 kind;
        uint32 cores;
        uint32 memoryMiB;
        uint32 diskGiB;
        /// Seconds after expiry in which a lease can still be renewed.
        uint64 grace;
        /// The ERC-20 that pays for it; zero is the native coin.
        address paymentToken;
        /// In the smallest unit of the payment token.
        uint256 pricePerSecond;
        /// How many leases may exist at once; zero is no limit.
        uint32 cap;
        /// How many leases exist now: it rises with each mint and falls only with a burn, so that an expired lease
        /// counts until its owner burns it.
        uint32 live;
        /// Whether new leases are sold. Renewals do not ask.
        bool onSale;
    }

    /// @dev What a token stands for, apart from its owner.
    struct Holding {
        uint256 planId;
        /// The lowest price at which the lease was ever paid for: renewals never cost more.
        uint256 pricePerSecond;
        uint64 expiration;
        bool declined;
        string sshKey;
        bytes encryptionKey;
    }

    /// @notice May withdraw what was paid. The default admin role defines plans, sets terms and pauses sales.
    bytes32 public constant TREASURER_ROLE = keccak256("TREASURER_ROLE");

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
    /// @notice The longest name of a plan, in bytes.
    uint256 public constant MAX_NAME_LENGTH = 64;
    /// @notice The longest SSH public key, and the longest encryption key, in bytes.
    uint256 public constant MAX_KEY_LENGTH = 1024;

    /// @notice How many plans exist; their ids are 1 to this number.
    uint256 public planCount;
    /// @notice The id of the newest lease; ids start at 1 and are never given twice.
    uint256 public lastTokenId;
    /// @notice Whether new sales are paused. Renewals, transfers and ends never are.
    bool public salesPaused;

    mapping(uint256 planId => Plan) private _plans;
    mapping(uint256 tokenId => Holding) private _holdings;

    /// @notice A plan exists from now on; these facts about it never change. Emitted once for each plan.
    event PlanDefined(
        uint256 indexed planId,
        string name,
        uint8 kind,
        uint32 cores,
        uint32 memoryMiB,
        uint32 diskGiB,
        uint64 grace
    );
    /// @notice The terms of a plan are now these. Emitted when it is created and whenever they change.
    event PlanTerms(
        uint256 indexed planId,
        address paymentToken,
        uint256 pricePerSecond,
        uint32 cap,
        bool onSale
    );
    /// @notice A lease was bought. Between its `Transfer` and its `SubscriptionUpdate`.
    event LeaseMinted(
        uint256 indexed tokenId,
        uint256 indexed planId,
        address indexed payer,
        uint256 secondsBought,
        uint256 paid
    );
    /// @notice The keys of a lease are now these; empty values mean none.
    event KeysChanged(uint256 indexed tokenId, string sshKey, bytes encryptionKey);
    /// @notice New sales are paused, or no longer.
    event SalesPaused(bool paused);
    /// @notice The treasurer took out `amount` of `token`; zero is the native coin.
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    /// @notice There is no plan with this id.
    error UnknownPlan(uint256 planId);
    /// @notice A kind is 0 (virtual machine) or 1 (container).
    error UnknownKind(uint8 kind);
    /// @notice A machine needs at least one core, one MiB of memory and one GiB of disk.
    error EmptyMachine();
    /// @notice A plan may promise a grace of `MAX_GRACE` seconds at most.
    error GraceTooLong(uint64 grace, uint64 maximum);
    /// @notice A price of zero would be for ever for each lease that is paid for at it. Ask one unit per second instead.
    error PriceIsZero();
    /// @notice The payment token is an address without code.
    error NotAToken(address token);
    /// @notice A plan needs a name.
    error NameIsEmpty();
    /// @notice The text or key is longer than `maximum` bytes.
    error TooLong(uint256 length, uint256 maximum);
    /// @notice The byte at `position` is not printable ASCII. Give one line, without newline or control characters.
    error NotPrintable(uint256 position);
    /// @notice Sales are paused. Renewals are not.
    error SalesArePaused();
    /// @notice This plan is not on sale. Its leases can still be renewed.
    error NotOnSale(uint256 planId);
    /// @notice All `cap` leases of this plan exist. One has to be burned, or the cap raised.
    error SoldOut(uint256 planId, uint32 cap);
    /// @notice The purchase was mined too late.
    error DeadlinePassed(uint256 deadline, uint256 timestamp);
    /// @notice The purchase costs more than the buyer accepts.
    error PriceAboveMaximum(uint256 amount, uint256 maxAmount);
    /// @notice Less time was asked for than is sold at once.
    error DurationTooShort(uint64 duration, uint64 minimum);
    /// @notice The lease would be paid for beyond the horizon.
    error BeyondHorizon(uint256 expiration, uint256 latest);
    /// @notice The price is `amount` of the native coin and less was sent.
    error NotEnoughSent(uint256 sent, uint256 amount);
    /// @notice Native coin was sent to a call that takes none.
    error NativeCoinNotTaken(uint256 sent);
    /// @notice The payment token delivered another amount than was asked, as one with a transfer fee does.
    error TokenTookFee(uint256 received, uint256 amount);
    /// @notice Only the owner of the lease may do this; an approval is for transfers.
    error NotLeaseOwner(uint256 tokenId, address caller);
    /// @notice The owner asked for no renewals; `allowRenewal` by the owner undoes that.
    error RenewalDeclined(uint256 tokenId);
    /// @notice The grace of the lease is over: its machine may be gone by now.
    error GraceIsOver(uint256 tokenId, uint256 endOfGrace);
    /// @notice The lease has already expired.
    error AlreadyExpired(uint256 tokenId, uint64 expiration);
    /// @notice The lease has not expired yet; `end` ends it.
    error NotExpired(uint256 tokenId, uint64 expiration);

    /// @param admin Defines plans and terms, pauses sales, grants and revokes roles.
    /// @param treasurer May withdraw what was paid.
    constructor(address admin, address treasurer) ERC721("Machine Lease", "LEASE") {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(TREASURER_ROLE, treasurer);
    }

    modifier onlyOwnerOf(uint256 tokenId) {
        if (_requireOwned(tokenId) != _msgSender()) revert NotLeaseOwner(tokenId, _msgSender());
        _;
    }

    // --- plans ---------------------------------------------------------------------------------------------------

    /// @notice Defines a plan and puts it on sale.
    /// @param name One line of printable ASCII, 1 to `MAX_NAME_LENGTH` bytes.
    /// @param kind `KIND_VM` or `KIND_CONTAINER`.
    /// @param grace Seconds after expiry in which a lease can still be renewed.
    /// @param paymentToken An ERC-20 without transfer fee; zero is the native coin. Fixed for ever.
    /// @param pricePerSecond In the smallest unit of the payment token.
    /// @param cap How many leases may exist at once; zero is no limit.
    /// @return planId Contiguous, starting at 1.
    function createPlan(
        string calldata name,
        uint8 kind,
        uint32 cores,
        uint32 memoryMiB,
        uint32 diskGiB,
        uint64 grace,
        address paymentToken,
        uint256 pricePerSecond,
        uint32 cap
    ) external onlyRole(DEFAULT_ADMIN_ROLE) returns (uint256 planId) {
        if (bytes(name).length == 0) revert NameIsEmpty();
        _requirePrintable(name, MAX_NAME_LENGTH);
        if (kind > KIND_CONTAINER) revert UnknownKind(kind);
        if (cores == 0 || memoryMiB == 0 || diskGiB == 0) revert EmptyMachine();
        if (grace > MAX_GRACE) revert GraceTooLong(grace, MAX_GRACE);
        if (paymentToken != address(0) && paymentToken.code.length == 0) revert NotAToken(paymentToken);

        planId = ++planCount;
        Plan storage plan_ = _plans[planId];
        plan_.name = name;
        plan_.kind = kind;
        plan_.cores = cores;
        plan_.memoryMiB = memoryMiB;
        plan_.diskGiB = diskGiB;
        plan_.grace = grace;
        plan_.paymentToken = paymentToken;
        emit PlanDefined(planId, name, kind, cores, memoryMiB, diskGiB, grace);
        _setTerms(planId, pricePerSecond, cap, true);
    }

    /// @notice Changes the terms of new sales. A lease that exists renews at the lower of its own and the plan's price.
    /// @param cap May be below the number of leases that exist: then none is sold until enough are burned.
    function setTerms(
        uint256 planId,
        uint256 pricePerSecond,
        uint32 cap,
        bool onSale
    ) external onlyRole(DEFAULT_ADMIN_ROLE) {
        _requirePlan(planId);
        _setTerms(planId, pricePerSecond, cap, onSale);
    }

    /// @notice Pauses new sales of all plans, or goes on with them. Renewals, transfers and ends are never paused.
    function setSalesPaused(bool paused) external onlyRole(DEFAULT_ADMIN_ROLE) {
        salesPaused = paused;
        emit SalesPaused(paused);
    }

    // --- buying and renewing -------------------------------------------------------------------------------------

    /// @notice Buys a lease of `duration` seconds, starting now. Emits `Transfer`, `LeaseMinted`, `SubscriptionUpdate`
    /// and, if a key is given, `KeysChanged`, in this order. Native coin beyond the price is sent back.
    /// @dev Uses `_mint`, not `_safeMint`: a receiver's hook could move the token before its other events are out, and
    /// would keep out smart accounts that hold tokens well without one. The buyer names the recipient and answers for it.
    /// @param recipient The first owner.
    /// @param maxAmount The purchase reverts if it costs more than this.
    /// @param deadline The purchase reverts if it is mined after this Unix second.
    /// @param sshKey One line of printable ASCII, at most `MAX_KEY_LENGTH` bytes, or empty.
    /// @param encryptionKey At most `MAX_KEY_LENGTH` bytes, or empty.
    /// @return tokenId Contiguous, starting at 1.
    function mint(
        uint256 planId,
        address recipient,
        uint64 duration,
        uint256 maxAmount,
        uint256 deadline,
        string calldata sshKey,
        bytes calldata encryptionKey
    ) external payable nonReentrant returns (uint256 tokenId) {
        if (block.timestamp > deadline) revert DeadlinePassed(deadline, block.timestamp);
        uint256 price = _takeFromStock(planId);
        uint256 amount = price * duration;
        if (amount > maxAmount) revert PriceAboveMaximum(amount, maxAmount);

        tokenId = ++lastTokenId;
        _holdings[tokenId].planId = planId;
        _holdings[tokenId].pricePerSecond = price;
        _mint(recipient, tokenId);
        emit LeaseMinted(tokenId, planId, _msgSender(), duration, amount);
        _extend(tokenId, block.timestamp, duration);
        if (bytes(sshKey).length != 0 || encryptionKey.length != 0) _setKeys(tokenId, sshKey, encryptionKey);
        _collect(_plans[planId].paymentToken, amount);
    }

    /// @notice Extends a lease by `duration` seconds from now or from its expiry, whichever is later. Anyone may pay.
    /// @dev The price is `priceOf`; it can't rise, so that no maximum is needed. Native coin beyond it is sent back.
    /// @inheritdoc IERC5643
    function renewSubscription(uint256 tokenId, uint64 duration) external payable nonReentrant {
        _requireOwned(tokenId);
        Holding storage holding = _holdings[tokenId];
        if (holding.declined) revert RenewalDeclined(tokenId);
        uint256 endOfGrace = _endOfGrace(holding);
        if (block.timestamp >= endOfGrace) revert GraceIsOver(tokenId, endOfGrace);

        uint256 price = _renewalPrice(holding);
        holding.pricePerSecond = price;
        uint256 start = block.timestamp > holding.expiration ? block.timestamp : holding.expiration;
        _extend(tokenId, start, duration);
        _collect(_plans[holding.planId].paymentToken, price * duration);
    }

    // --- the owner's wishes --------------------------------------------------------------------------------------

    /// @notice Says "do not renew": nobody can, until the owner calls `allowRenewal` or the lease changes hands. What
    /// is paid stays paid: the expiry does not change, and is emitted unchanged. Takes no native coin.
    /// @inheritdoc IERC5643
    function cancelSubscription(uint256 tokenId) external payable onlyOwnerOf(tokenId) {
        if (msg.value != 0) revert NativeCoinNotTaken(msg.value);
        _holdings[tokenId].declined = true;
        emit SubscriptionUpdate(tokenId, _holdings[tokenId].expiration);
    }

    /// @notice Undoes `cancelSubscription`. The expiry does not change, and is emitted unchanged.
    function allowRenewal(uint256 tokenId) external onlyOwnerOf(tokenId) {
        _holdings[tokenId].declined = false;
        emit SubscriptionUpdate(tokenId, _holdings[tokenId].expiration);
    }

    /// @notice Ends a lease now, without refund. The plan's grace follows, as it does after an expiry.
    function end(uint256 tokenId) external onlyOwnerOf(tokenId) {
        Holding storage holding = _holdings[tokenId];
        if (block.timestamp >= holding.expiration) revert AlreadyExpired(tokenId, holding.expiration);
        holding.expiration = uint64(block.timestamp);
        emit SubscriptionUpdate(tokenId, holding.expiration);
    }

    /// @notice Removes an expired lease for good: it can't be renewed any more, and its plan has room for another.
    function burn(uint256 tokenId) external onlyOwnerOf(tokenId) {
        Holding storage holding = _holdings[tokenId];
        if (block.timestamp < holding.expiration) revert NotExpired(tokenId, holding.expiration);
        --_plans[holding.planId].live;
        delete _holdings[tokenId];
        _burn(tokenId);
    }

    /// @notice Replaces both keys of a lease; empty values remove them.
    /// @param sshKey One line of printable ASCII, at most `MAX_KEY_LENGTH` bytes.
    /// @param encryptionKey At most `MAX_KEY_LENGTH` bytes.
    function setKeys(
        uint256 tokenId,
        string calldata sshKey,
        bytes calldata encryptionKey
    ) external onlyOwnerOf(tokenId) {
        _setKeys(tokenId, sshKey, encryptionKey);
    }

    // --- the operator's money ------------------------------------------------------------------------------------

    /// @notice Takes out what was paid.
    /// @param token An ERC-20; zero is the native coin.
    function withdraw(
        address token,
        address payable to,
        uint256 amount
    ) external nonReentrant onlyRole(TREASURER_ROLE) {
        emit Withdrawn(token, to, amount);
        if (token == address(0)) Address.sendValue(to, amount);
        else IERC20(token).safeTransfer(to, amount);
    }

    // --- views ---------------------------------------------------------------------------------------------------

    /// @inheritdoc IERC5643
    function expiresAt(uint256 tokenId) external view returns (uint64) {
        return _holdingOf(tokenId).expiration;
    }

    /// @notice Whether `renewSubscription` is open: the owner did not decline, and the grace is not over.
    /// @inheritdoc IERC5643
    function isRenewable(uint256 tokenId) external view returns (bool) {
        Holding storage holding = _holdingOf(tokenId);
        return !holding.declined && block.timestamp < _endOfGrace(holding);
    }

    /// @notice What a renewal costs, in the smallest unit of the plan's payment token per second: the lowest price at
    /// which this lease was paid for, or the plan's present price if that is lower.
    function priceOf(uint256 tokenId) external view returns (uint256) {
        return _renewalPrice(_holdingOf(tokenId));
    }

    /// @notice The id of the plan of a lease.
    function planOf(uint256 tokenId) external view returns (uint256) {
        return _holdingOf(tokenId).planId;
    }

    /// @notice The SSH public key of a lease; empty if it has none.
    function sshKeyOf(uint256 tokenId) external view returns (string memory) {
        return _holdingOf(tokenId).sshKey;
    }

    /// @notice The encryption public key of a lease; empty if it has none.
    function encryptionKeyOf(uint256 tokenId) external view returns (bytes memory) {
        return _holdingOf(tokenId).encryptionKey;
    }

    /// @notice A plan and its present terms.
    function plan(uint256 planId) external view returns (Plan memory) {
        _requirePlan(planId);
        return _plans[planId];
    }

    /// @notice ERC-165, ERC-721 with metadata, ERC-5643 and AccessControl.
    function supportsInterface(bytes4 interfaceId) public view override(ERC721, AccessControl) returns (bool) {
        return interfaceId == type(IERC5643).interfaceId || super.supportsInterface(interfaceId);
    }

    // --- inside --------------------------------------------------------------------------------------------------

    /// @dev A transfer, to oneself too, clears the keys, so that the former owner's open nothing for the next one, and
    /// allows renewals again. Not at a mint, which sets them, nor at a burn, which leaves nothing to open.
    function _update(address to, uint256 tokenId, address auth) internal override returns (address from) {
        from = super._update(to, tokenId, auth);
        if (from == address(0) || to == address(0)) return from;
        Holding storage holding = _holdings[tokenId];
        delete holding.sshKey;
        delete holding.encryptionKey;
        holding.declined = false;
        emit KeysChanged(tokenId, "", "");
    }

    function _setTerms(uint256 planId, uint256 pricePerSecond, uint32 cap, bool onSale) private {
        if (pricePerSecond == 0) revert PriceIsZero();
        Plan storage plan_ = _plans[planId];
        plan_.pricePerSecond = pricePerSecond;
        plan_.cap = cap;
        plan_.onSale = onSale;
        emit PlanTerms(planId, plan_.paymentToken, pricePerSecond, cap, onSale);
    }

    /// @dev Counts one more lease of a plan, if one may be sold, and returns its price per second.
    function _takeFromStock(uint256 planId) private returns (uint256) {
        if (salesPaused) revert SalesArePaused();
        _requirePlan(planId);
        Plan storage plan_ = _plans[planId];
        if (!plan_.onSale) revert NotOnSale(planId);
        if (plan_.cap != 0 && plan_.live >= plan_.cap) revert SoldOut(planId, plan_.cap);
        ++plan_.live;
        return plan_.pricePerSecond;
    }

    /// @dev The cast is safe: the horizon bounds the value.
    function _extend(uint256 tokenId, uint256 start, uint64 duration) private {
        if (duration < MIN_DURATION) revert DurationTooShort(duration, MIN_DURATION);
        uint256 expiration = start + duration;
        uint256 latest = block.timestamp + MAX_HORIZON;
        if (expiration > latest) revert BeyondHorizon(expiration, latest);
        _holdings[tokenId].expiration = uint64(expiration);
        emit SubscriptionUpdate(tokenId, uint64(expiration));
    }

    function _setKeys(uint256 tokenId, string calldata sshKey, bytes calldata encryptionKey) private {
        _requirePrintable(sshKey, MAX_KEY_LENGTH);
        if (encryptionKey.length > MAX_KEY_LENGTH) revert TooLong(encryptionKey.length, MAX_KEY_LENGTH);
        _holdings[tokenId].sshKey = sshKey;
        _holdings[tokenId].encryptionKey = encryptionKey;
        emit KeysChanged(tokenId, sshKey, encryptionKey);
    }

    /// @dev Takes exactly `amount` from the caller: the last thing a payable function does.
    function _collect(address token, uint256 amount) private {
        if (token == address(0)) {
            if (msg.value < amount) revert NotEnoughSent(msg.value, amount);
            if (msg.value > amount) Address.sendValue(payable(_msgSender()), msg.value - amount);
            return;
        }
        if (msg.value != 0) revert NativeCoinNotTaken(msg.value);
        uint256 before = IERC20(token).balanceOf(address(this));
        IERC20(token).safeTransferFrom(_msgSender(), address(this), amount);
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert TokenTookFee(received, amount);
    }

    function _holdingOf(uint256 tokenId) private view returns (Holding storage) {
        _requireOwned(tokenId);
        return _holdings[tokenId];
    }

    function _endOfGrace(Holding storage holding) private view returns (uint256) {
        return uint256(holding.expiration) + _plans[holding.planId].grace;
    }

    function _renewalPrice(Holding storage holding) private view returns (uint256) {
        uint256 current = _plans[holding.planId].pricePerSecond;
        return current < holding.pricePerSecond ? current : holding.pricePerSecond;
    }

    function _requirePlan(uint256 planId) private view {
        if (planId == 0 || planId > planCount) revert UnknownPlan(planId);
    }

    /// @dev Bytes 0x20 to 0x7e only: no control character, and none of Unicode's line breaks.
    function _requirePrintable(string calldata text, uint256 maximum) private pure {
        bytes calldata raw = bytes(text);
        if (raw.length > maximum) revert TooLong(raw.length, maximum);
        for (uint256 i = 0; i < raw.length; ++i) {
            if (raw[i] < 0x20 || raw[i] > 0x7e) revert NotPrintable(i);
        }
    }
}
