// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What a lease contract says: its events and its refusals
/// @notice The law: **events carry absolute facts**. A reader that folds the logs and never adds two numbers knows
/// every plan, owner, key, expiry, escrow and credit. Where a number is told, it is what holds from then on.
/// @dev Times are Unix seconds, durations seconds, and amounts in the smallest unit of the plan's payment token, which
/// is wei where that is the native coin.
interface LeaseWords {
    // --- plans ---------------------------------------------------------------------------------------------------

    /// @notice A plan exists from now on; these facts about it never change. Emitted once for each plan.
    /// @param planId From 1, without a gap.
    /// @param name One line of printable ASCII.
    /// @param kind 0 is a virtual machine, 1 a container.
    /// @param cores Processor cores of the machine.
    /// @param memoryMiB Its memory, in MiB.
    /// @param diskGiB Its disk, in GiB.
    /// @param grace Seconds after the expiry in which a lease can still be renewed.
    event PlanDefined(
        uint256 indexed planId,
        string name,
        uint8 kind,
        uint32 cores,
        uint32 memoryMiB,
        uint32 diskGiB,
        uint64 grace
    );

    /// @notice What a plan promises, for ever. Emitted once for each plan.
    /// @param planId The plan that was defined just before.
    /// @param deliveryTime Seconds within which it is delivered.
    /// @param endFee The fee of an early end, in hundredths of a percent of the unused rest.
    event PlanPromises(uint256 indexed planId, uint64 deliveryTime, uint16 endFee);

    /// @notice The terms of a plan are now these. Emitted when it is created and whenever they change.
    /// @param planId The plan they are of.
    /// @param paymentToken The ERC-20 that pays for it, always the same; zero is the native coin.
    /// @param pricePerSecond In the smallest unit of the payment token.
    /// @param cap How many leases there may be at once; zero is no limit.
    /// @param onSale Whether new leases are sold.
    event PlanTerms(uint256 indexed planId, address paymentToken, uint256 pricePerSecond, uint32 cap, bool onSale);

    /// @notice New sales are paused, or no longer.
    /// @param paused True while they are.
    event SalesPaused(bool paused);

    // --- leases --------------------------------------------------------------------------------------------------

    /// @notice A lease was bought. Between its `Transfer` and its `SubscriptionUpdate`, which tells the end of the
    /// delivery time: until it is delivered, that is its expiry.
    /// @param tokenId From 1, never given twice.
    /// @param planId The plan it is of.
    /// @param payer Who called, or who signed the authorization that paid.
    /// @param secondsBought How many seconds its delivery will start.
    /// @param paid The price, in the smallest unit of the payment token.
    event LeaseMinted(
        uint256 indexed tokenId,
        uint256 indexed planId,
        address indexed payer,
        uint256 secondsBought,
        uint256 paid
    );

    /// @notice The machine was handed over, and the lease's time began. A `SubscriptionUpdate` with its end follows.
    /// @param tokenId The lease.
    /// @param deliveredAt The Unix second in which it was.
    event LeaseDelivered(uint256 indexed tokenId, uint64 deliveredAt);

    /// @notice Somebody paid for more time. A `SubscriptionUpdate` follows; before the delivery it repeats the
    /// deadline.
    /// @param tokenId The lease.
    /// @param payer Who called and paid; often not the owner.
    /// @param secondsBought How many seconds more.
    /// @param paid Their price, in the smallest unit of the payment token.
    event LeaseRenewed(uint256 indexed tokenId, address indexed payer, uint64 secondsBought, uint256 paid);

    /// @notice Whether renewals are open, as far as the owner and the admin say. They are when a lease is minted.
    /// @param tokenId The lease.
    /// @param allowed False once the owner declined them or the admin cancelled the lease.
    event RenewalsAllowed(uint256 indexed tokenId, bool allowed);

    /// @notice The keys of a lease are now these; empty values mean none. Empty ones at a transfer also mean that the
    /// connection is gone.
    /// @param tokenId The lease.
    /// @param sshKey One line of printable ASCII.
    /// @param encryptionKey What connections are to be encrypted to.
    event KeysChanged(uint256 indexed tokenId, string sshKey, bytes encryptionKey);

    /// @notice How to reach the machine is now this.
    /// @param tokenId The lease.
    /// @param connection Encrypted to the encryption key of the lease; empty takes back what was said.
    event ConnectionPublished(uint256 indexed tokenId, bytes connection);

    /// @notice The lease is now of another plan. Nothing else about it changed.
    /// @param tokenId The lease.
    /// @param planId The plan it is of from here on.
    event PlanChanged(uint256 indexed tokenId, uint256 indexed planId);

    /// @notice What `tokenURI` shows of the lease changed (ERC-4906).
    /// @param _tokenId The lease.
    event MetadataUpdate(uint256 _tokenId);

    /// @notice As `MetadataUpdate`, for a range; never emitted here (ERC-4906).
    /// @param _fromTokenId The first of them.
    /// @param _toTokenId The last of them.
    event BatchMetadataUpdate(uint256 _fromTokenId, uint256 _toTokenId);

    // --- wishes --------------------------------------------------------------------------------------------------

    /// @notice The owner asks for something.
    /// @param tokenId The lease.
    /// @param kind 1 reboot, 2 start, 3 stop, 4 reinstall, 5 upgrade.
    /// @param data What the kind needs; for an upgrade the wanted plan's id, as one word.
    event ActionRequested(uint256 indexed tokenId, uint8 indexed kind, bytes data);

    /// @notice An upgrade is asked for and paid; plan zero: none is any more, be it done, refused or taken back.
    /// @param tokenId The lease.
    /// @param planId The plan that is wanted.
    /// @param deadline The Unix second from which on it is not done any more.
    /// @param aside All that is set aside for it, in the smallest unit of the payment token.
    event UpgradeUpdate(uint256 indexed tokenId, uint256 planId, uint64 deadline, uint256 aside);

    // --- money ---------------------------------------------------------------------------------------------------

    /// @notice What is in escrow for a lease now: it pays, evenly, for the time from `settledAt` to the expiry.
    /// @param tokenId The lease.
    /// @param escrow In the smallest unit of the payment token.
    /// @param settledAt In Unix seconds; zero before the delivery, when nothing is earned.
    event EscrowUpdate(uint256 indexed tokenId, uint256 escrow, uint64 settledAt);

    /// @notice What a lease ended with went from its escrow to its owner's credit, less a fee.
    /// @param tokenId The lease.
    /// @param owner Who owned it and has the credit.
    /// @param amount What became the owner's credit, in the smallest unit of the payment token.
    /// @param fee What the operator kept of the same rest, in the same unit.
    event Refunded(uint256 indexed tokenId, address indexed owner, uint256 amount, uint256 fee);

    /// @notice What an account can take out now.
    /// @param token The ERC-20 it is of; zero is the native coin.
    /// @param account Whose it is; zero is the operator.
    /// @param credit All of it, in the token's smallest unit.
    event CreditUpdate(address indexed token, address indexed account, uint256 credit);

    /// @notice Money left the contract. After its `CreditUpdate`.
    /// @param token The ERC-20 it was of; zero is the native coin.
    /// @param to Where it was sent.
    /// @param amount In the token's smallest unit.
    event Withdrawn(address indexed token, address indexed to, uint256 amount);

    // --- refusals: plans and purchases ---------------------------------------------------------------------------

    /// @notice There is no plan with this id.
    /// @param planId What was asked for; there are 1 to `planCount`.
    error UnknownPlan(uint256 planId);

    /// @notice A kind is 0 (virtual machine) or 1 (container).
    /// @param kind What was offered.
    error UnknownKind(uint8 kind);

    /// @notice A machine needs at least one core, one MiB of memory and one GiB of disk.
    error EmptyMachine();

    /// @notice A plan may promise a grace of `MAX_GRACE` seconds at most.
    /// @param grace What was offered, in seconds.
    /// @param maximum In seconds.
    error GraceTooLong(uint64 grace, uint64 maximum);

    /// @notice A plan is delivered within `MIN_DELIVERY_TIME` to `MAX_DELIVERY_TIME` seconds.
    /// @param deliveryTime What was offered, in seconds.
    error DeliveryTimeNotAllowed(uint64 deliveryTime);

    /// @notice The fee of an early end is `MAX_END_FEE` hundredths of a percent at most.
    /// @param endFee What was offered, in hundredths of a percent.
    /// @param maximum In hundredths of a percent.
    error EndFeeTooHigh(uint16 endFee, uint16 maximum);

    /// @notice A price of zero would be for ever for each lease that is paid for at it. Ask one unit per second
    /// instead.
    error PriceIsZero();

    /// @notice The payment token is an address without code, or the native coin where a token's signature was to pay.
    /// @param token The payment token; zero is the native coin.
    error NotAToken(address token);

    /// @notice A plan needs a name.
    error NameIsEmpty();

    /// @notice The text, key or blob is longer than `maximum` bytes.
    /// @param length Of what was given, in bytes.
    /// @param maximum In bytes.
    error TooLong(uint256 length, uint256 maximum);

    /// @notice A byte is not printable ASCII. Give one line, without newline or control characters.
    /// @param position Of the first such byte, counted from 0.
    error NotPrintable(uint256 position);

    /// @notice Sales are paused. Renewals are not.
    error SalesArePaused();

    /// @notice This plan is not on sale. Its leases can still be renewed.
    /// @param planId The plan.
    error NotOnSale(uint256 planId);

    /// @notice All `cap` leases of this plan exist. One has to be burned, or the cap raised.
    /// @param planId The plan.
    /// @param cap How many there may be.
    error SoldOut(uint256 planId, uint32 cap);

    /// @notice The purchase was mined too late.
    /// @param deadline The last Unix second that the buyer allowed.
    /// @param timestamp The block's, in Unix seconds.
    error DeadlinePassed(uint256 deadline, uint256 timestamp);

    /// @notice It costs more than the payer accepts.
    /// @param amount The price, in the smallest unit of the payment token.
    /// @param maxAmount What the payer accepts, in the same unit.
    error PriceAboveMaximum(uint256 amount, uint256 maxAmount);

    /// @notice Less time was asked for than is sold at once.
    /// @param duration What was asked for, in seconds.
    /// @param minimum In seconds.
    error DurationTooShort(uint64 duration, uint64 minimum);

    /// @notice The lease would be paid for beyond the horizon.
    /// @param expiration Until which Unix second it would be; before the delivery, if its time began now.
    /// @param latest Until which Unix second it may be.
    error BeyondHorizon(uint256 expiration, uint256 latest);

    // --- refusals: money -----------------------------------------------------------------------------------------

    /// @notice The price is of the native coin, and less was sent.
    /// @param sent In wei.
    /// @param amount The price, in wei.
    error NotEnoughSent(uint256 sent, uint256 amount);

    /// @notice Native coin was sent to a call that takes none.
    /// @param sent In wei.
    error NativeCoinNotTaken(uint256 sent);

    /// @notice The payment token delivered another amount than was asked, as one with a transfer fee does.
    /// @param received In the token's smallest unit.
    /// @param amount What was asked, in the same unit.
    error TokenTookFee(uint256 received, uint256 amount);

    /// @notice Less is owed than is asked for.
    /// @param owed In the token's smallest unit.
    /// @param amount What was asked for, in the same unit; 1 where all was and there is nothing.
    error NotOwed(uint256 owed, uint256 amount);

    // --- refusals: leases ----------------------------------------------------------------------------------------

    /// @notice Only the owner of the lease may do this, and only the owner reads its connection; an approval is for
    /// transfers.
    /// @param tokenId The lease.
    /// @param caller Who called, or for whom a connection was encrypted.
    error NotLeaseOwner(uint256 tokenId, address caller);

    /// @notice The owner asked for no renewals; `allowRenewal` by the owner undoes that.
    /// @param tokenId The lease.
    error RenewalDeclined(uint256 tokenId);

    /// @notice The admin cancelled this lease; buy another.
    /// @param tokenId The lease.
    error LeaseClosed(uint256 tokenId);

    /// @notice The grace of the lease is over: its machine may be gone by now.
    /// @param tokenId The lease.
    /// @param endOfGrace In Unix seconds; of a lease that was not delivered, the end of the delivery time.
    error GraceIsOver(uint256 tokenId, uint256 endOfGrace);

    /// @notice The lease has already expired.
    /// @param tokenId The lease.
    /// @param expiration In Unix seconds.
    error AlreadyExpired(uint256 tokenId, uint64 expiration);

    /// @notice It is too early to burn the lease; `end` ends it.
    /// @param tokenId The lease.
    /// @param expiration The Unix second from which on the caller may: the expiry, or for the provisioner the end of
    /// the grace.
    error NotExpired(uint256 tokenId, uint64 expiration);

    /// @notice The lease was delivered: its time runs. `end` by the owner gives the unused rest back.
    /// @param tokenId The lease.
    /// @param deliveredAt In Unix seconds.
    error AlreadyDelivered(uint256 tokenId, uint64 deliveredAt);

    /// @notice The lease was not delivered yet. `refund` by the owner gives everything back after the delivery time.
    /// @param tokenId The lease.
    error NotDelivered(uint256 tokenId);

    /// @notice The delivery time is over: the owner can take everything back.
    /// @param tokenId The lease that was to be delivered, or upgraded.
    /// @param deadline The Unix second at which it was over.
    error DeliveryOverdue(uint256 tokenId, uint64 deadline);

    /// @notice There is still time to deliver.
    /// @param tokenId The lease that is to be delivered, or upgraded.
    /// @param deadline The Unix second at which it is over.
    error DeliveryNotOverdue(uint256 tokenId, uint64 deadline);

    /// @notice A kind of action is 1 to 4; an upgrade is asked for with `requestUpgrade`.
    /// @param kind What was asked for.
    error UnknownAction(uint8 kind);

    /// @notice An upgrade is to another plan of the same kind and payment token with nothing less in it.
    /// @param from The plan of the lease.
    /// @param to The plan that was asked for.
    error NotAnUpgrade(uint256 from, uint256 to);

    /// @notice An upgrade of this lease is asked for already.
    /// @param tokenId The lease.
    error UpgradePending(uint256 tokenId);

    /// @notice No upgrade of this lease is asked for, or another than the one that is meant.
    /// @param tokenId The lease.
    error NoUpgrade(uint256 tokenId);
}
