"""Mitogen's strategy for Ansible, as Debian 12 has both.

Ansible marks items of loops as not to be trusted, by a type of string whose str() is of that type again since a
security update. Mitogen 0.3.3, which takes such marks off by str() before it sends anything, cannot send them then.
"""

import os
import sys

import ansible
import mitogen.utils
from ansible.utils.unsafe_proxy import AnsibleUnsafe

sys.path.insert(0, os.path.join(os.path.dirname(ansible.__file__), ".."))

import ansible_mitogen.loaders  # noqa: E402
import ansible_mitogen.strategy  # noqa: E402

cast_all_else = mitogen.utils.cast


def cast(value):
    return value._strip_unsafe() if isinstance(value, AnsibleUnsafe) else cast_all_else(value)


# It calls itself by this name, too.
mitogen.utils.cast = cast

Base = ansible_mitogen.loaders.strategy_loader.get("linear", class_only=True)


class StrategyModule(ansible_mitogen.strategy.StrategyMixin, Base):
    pass
