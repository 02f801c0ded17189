// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a lease contract says: its events and its refusals
/// @notice The law: **events carry absolute facts**. A reader that folds the logs and never adds two numbers knows every
/// plan, owner, key, expiry, escrow and credit. Where a number is told, it is what holds from then on.
interface LeaseWords {
    // --- plans ---------------------------------------------------------------------------------------------------

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
    /// @notice What a plan promises, for ever: seconds within which it is delivered, and the fee of an early end in
    /// hundredths of a percent of the unused rest. Emitted once for each plan.
    event PlanPromises(uint256 indexed planId, uint64 deliveryTime, uint16 endFee);
    /// @notice The terms of a plan are now these. Emitted when it is created and whenever they change.
    event PlanTerms(uint256 indexed planId, address paymentToken, uint256 pricePerSecond, uint32 cap, bool onSale);
    /// @notice New sales are paused, or no longer.
    event SalesPaused(bool paused);

    // --- leases --------------------------------------------------------------------------------------------------

    /// @notice A lease was bought. Between its `Transfer` and its `SubscriptionUpdate`, which tells the end of the
    /// delivery time: until it is delivered, that is its expiry.
    event LeaseMinted(
        uint256 indexed tokenId,
        uint256 indexed planId,
        address indexed payer,
        uint256 secondsBought,
        uint256 paid
    );
    /// @notice The machine was handed over, and the lease's time began. A `SubscriptionUpdate` with its end follows.
    event LeaseDelivered(uint256 indexed tokenId, uint64 deliveredAt);
    /// @notice Somebody paid for more time. A `SubscriptionUpdate` follows; before the delivery it repeats the deadline.
    event LeaseRenewed(uint256 indexed tokenId, address indexed payer, uint64 secondsBought, uint256 paid);
    /// @notice Whether renewals are open, as far as the owner and the admin say. They are when a lease is minted.
    event RenewalsAllowed(uint256 indexed tokenId, bool allowed);
    /// @notice The keys of a lease are now these; empty values mean none. Empty ones at a transfer also mean that the
    /// connection is gone.
    event KeysChanged(uint256 indexed tokenId, string sshKey, bytes encryptionKey);
    /// @notice How to reach the machine, encrypted to the encryption key of the lease.
    event ConnectionPublished(uint256 indexed tokenId, bytes connection);
    /// @notice The lease is now of another plan. Nothing else about it changed.
    event PlanChanged(uint256 indexed tokenId, uint256 indexed planId);

    /// @notice What `tokenURI` shows of the lease changed (ERC-4906).
    event MetadataUpdate(uint256 _tokenId);
    /// @notice As `MetadataUpdate`, for a range; never emitted here (ERC-4906).
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    // --- wishes --------------------------------------------------------------------------------------------------

    /// @notice The owner asks for something: 1 reboot, 2 start, 3 stop, 4 reinstall, 5 upgrade (`data`: the plan's id as
    /// one word).
    event ActionRequested(uint256 indexed tokenId, uint8 indexed kind, bytes data);
    /// @notice An upgrade is asked for and paid; plan zero: none is any more, be it done, refused or taken back.
    event UpgradeUpdate(uint256 indexed tokenId, uint256 planId, uint64 deadline, uint256 aside);

    // --- money ---------------------------------------------------------------------------------------------------

    /// @notice What is in escrow for a lease now: it pays, evenly, for the time from `settledAt` to the expiry.
    event EscrowUpdate(uint256 indexed tokenId, uint256 escrow, uint64 settledAt);
    /// @notice `amount` went from the escrow of a lease to its owner's credit, less a fee.
    event Refunded(uint256 indexed tokenId, address indexed owner, uint256 amount, uint256 fee);
    /// @notice What `account` can take out now; account zero is the operator.
    event CreditUpdate(address indexed token, address indexed account, uint256 credit);
    /// @notice `amount` of `token` was sent to `to`; token zero is the native coin. After its `CreditUpdate`.
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    // --- refusals: plans and purchases ---------------------------------------------------------------------------

    /// @notice There is no plan with this id.
    error UnknownPlan(uint256 planId);
    /// @notice A kind is 0 (virtual machine) or 1 (container).
    error UnknownKind(uint8 kind);
    /// @notice A machine needs at least one core, one MiB of memory and one GiB of disk.
    error EmptyMachine();
    /// @notice A plan may promise a grace of `MAX_GRACE` seconds at most.
    error GraceTooLong(uint64 grace, uint64 maximum);
    /// @notice A plan is delivered within `MIN_DELIVERY_TIME` to `MAX_DELIVERY_TIME` seconds.
    error DeliveryTimeNotAllowed(uint64 deliveryTime);
    /// @notice The fee of an early end is `MAX_END_FEE` hundredths of a percent at most.
    error EndFeeTooHigh(uint16 endFee, uint16 maximum);
    /// @notice A price of zero would be for ever for each lease that is paid for at it. Ask one unit per second instead.
    error PriceIsZero();
    /// @notice The payment token is an address without code.
    error NotAToken(address token);
    /// @notice A plan needs a name.
    error NameIsEmpty();
    /// @notice The text, key or blob is longer than `maximum` bytes.
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
    /// @notice It costs more than the payer accepts.
    error PriceAboveMaximum(uint256 amount, uint256 maxAmount);
    /// @notice Less time was asked for than is sold at once.
    error DurationTooShort(uint64 duration, uint64 minimum);
    /// @notice The lease would be paid for beyond the horizon.
    error BeyondHorizon(uint256 expiration, uint256 latest);

    // --- refusals: money -----------------------------------------------------------------------------------------

    /// @notice The price is `amount` of the native coin and less was sent.
    error NotEnoughSent(uint256 sent, uint256 amount);
    /// @notice Native coin was sent to a call that takes none.
    error NativeCoinNotTaken(uint256 sent);
    /// @notice The payment token delivered another amount than was asked, as one with a transfer fee does.
    error TokenTookFee(uint256 received, uint256 amount);
    /// @notice Less is owed than is asked for.
    error NotOwed(uint256 owed, uint256 amount);

    // --- refusals: leases ----------------------------------------------------------------------------------------

    /// @notice Only the owner of the lease may do this; an approval is for transfers.
    error NotLeaseOwner(uint256 tokenId, address caller);
    /// @notice The owner asked for no renewals; `allowRenewal` by the owner undoes that.
    error RenewalDeclined(uint256 tokenId);
    /// @notice The admin cancelled this lease; buy another.
    error LeaseClosed(uint256 tokenId);
    /// @notice The grace of the lease is over: its machine may be gone by now.
    error GraceIsOver(uint256 tokenId, uint256 endOfGrace);
    /// @notice The lease has already expired.
    error AlreadyExpired(uint256 tokenId, uint64 expiration);
    /// @notice The lease has not expired yet; `end` ends it.
    error NotExpired(uint256 tokenId, uint64 expiration);
    /// @notice The lease was delivered: its time runs. `end` by the owner gives the unused rest back.
    error AlreadyDelivered(uint256 tokenId, uint64 deliveredAt);
    /// @notice The lease was not delivered yet. `refund` by the owner gives everything back after the delivery time.
    error NotDelivered(uint256 tokenId);
    /// @notice The delivery time is over: the owner can take everything back.
    error DeliveryOverdue(uint256 tokenId, uint64 deadline);
    /// @notice There is still time to deliver, until `deadline`.
    error DeliveryNotOverdue(uint256 tokenId, uint64 deadline);
    /// @notice A kind of action is 1 to 4; an upgrade is asked for with `requestUpgrade`.
    error UnknownAction(uint8 kind);
    /// @notice An upgrade is to another plan of the same kind and payment token with nothing less in it.
    error NotAnUpgrade(uint256 from, uint256 to);
    /// @notice An upgrade of this lease is asked for already.
    error UpgradePending(uint256 tokenId);
    /// @notice No upgrade of this lease is asked for, or another than the one that is meant.
    error NoUpgrade(uint256 tokenId);
}
