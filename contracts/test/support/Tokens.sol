// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title Keeps a part of every transfer: one percent, unless it is told another
contract FeeToken is ERC20("Fee", "FEE") {
    uint256 public percent = 1;

    constructor() {
        _mint(msg.sender, type(uint128).max);
    }

    function setPercent(uint256 percent_) external {
        percent = percent_;
    }

    function feeOf(uint256 value) public view returns (uint256) {
        return (value * percent) / 100;
    }

    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) ? 0 : feeOf(value);
        super._update(from, to, value - fee);
        if (fee != 0) super._update(from, address(this), fee);
    }
}

/// @title Says nothing when it transfers, as some old tokens do
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    constructor() {
        balanceOf[msg.sender] = type(uint128).max;
    }

    function approve(address spender, uint256 value) external {
        allowance[msg.sender][spender] = value;
    }

    function transfer(address to, uint256 value) external {
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value;
    }

    function transferFrom(address from, address to, uint256 value) external {
        allowance[from][msg.sender] -= value;
        balanceOf[from] -= value;
        balanceOf[to] += value;
    }
}

/// @title Says that it did not transfer, and does not, without an error
contract LyingToken is ERC20("Lie", "LIE") {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return false;
    }
}

/// @title Says that it transferred, and did not
contract EmptyToken is ERC20("Empty", "NIL") {
    function transferFrom(address, address, uint256) public pure override returns (bool) {
        return true;
    }
}

/// @title Refuses to pay whom it does not like
contract BlocklistToken is ERC20("Block", "BLK") {
    mapping(address => bool) public blocked;

    constructor() {
        _mint(msg.sender, type(uint128).max);
    }

    function block_(address account) external {
        blocked[account] = true;
    }

    function unblock(address account) external {
        blocked[account] = false;
    }

    function _update(address from, address to, uint256 value) internal override {
        require(!blocked[from] && !blocked[to], "blocked");
        super._update(from, to, value);
    }
}

/// @title Calls back whenever it moves, and remembers whether that was let in
contract ReentrantToken is ERC20("Again", "AGN") {
    address private _target;
    bytes private _call;
    bool public tried;
    bool public entered;
    bytes public answer;

    constructor() {
        _mint(msg.sender, type(uint128).max);
    }

    function attack(address target, bytes calldata call) external {
        (_target, _call) = (target, call);
        (tried, entered) = (false, false);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (_target == address(0)) return;
        address target = _target;
        _target = address(0);
        tried = true;
        (entered, answer) = target.call(_call);
    }
}

/// @title Takes no coin
contract Refuser {
    receive() external payable {
        revert("no");
    }
}

/// @title Claims again when it is paid
contract Greedy {
    address private immutable LEASE;
    bool public entered;

    constructor(address lease) {
        LEASE = lease;
    }

    function run(bytes calldata call, uint256 value) external payable returns (bytes memory) {
        (bool done, bytes memory answer) = LEASE.call{value: value}(call);
        require(done, "failed");
        return answer;
    }

    receive() external payable {
        (bool done, ) = LEASE.call(abi.encodeWithSignature("claim(address,address)", address(0), address(this)));
        entered = entered || done;
    }
}
