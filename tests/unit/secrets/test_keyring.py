"""What is encrypted decrypts under its own key, tenant and name, and under nothing else."""

import base64
import os

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runwright.secrets.keyring import Keyring, key_id, new_key_text, parse_keys
from runwright.secrets.model import DecryptionError, SecretName, VaultKeyError

KEY, OTHER = os.urandom(32), os.urandom(32)
NAME = SecretName("ten_a", "TOKEN")
VALUE = "hunter2-and-more"


def text_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_value_comes_back_as_it_was(value: str) -> None:
    ring = Keyring([KEY])
    assert ring.decrypt(ring.encrypt(NAME, value)) == value


def test_two_ciphertexts_of_one_value_have_nothing_in_common() -> None:
    ring = Keyring([KEY])
    first, second = (ring.encrypt(NAME, VALUE).ciphertext for _ in range(2))
    assert first[:12] != second[:12]
    assert first[12:] != second[12:]
    assert VALUE.encode() not in first


@pytest.mark.parametrize(("field", "value"), [("tenant_id", "ten_b"), ("name", "TOKEN2")])
def test_a_value_that_was_moved_to_another_row_does_not_decrypt(field: str, value: str) -> None:
    ring = Keyring([KEY])
    moved = msgspec.structs.replace(ring.encrypt(NAME, VALUE), **{field: value})
    with pytest.raises(DecryptionError):
        ring.decrypt(moved)


def test_tenant_and_name_do_not_run_together() -> None:
    ring = Keyring([KEY])
    encrypted = ring.encrypt(SecretName("ten_a", "BC"), VALUE)
    with pytest.raises(DecryptionError):
        ring.decrypt(msgspec.structs.replace(encrypted, tenant_id="ten_aB", name="C"))


@given(st.data())
def test_a_value_that_was_altered_does_not_decrypt(data: st.DataObject) -> None:
    ring = Keyring([KEY])
    secret = ring.encrypt(NAME, VALUE)
    place = data.draw(st.integers(0, len(secret.ciphertext) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    altered = bytes(
        [*secret.ciphertext[:place], secret.ciphertext[place] ^ bit, *secret.ciphertext[place + 1 :]]
    )
    with pytest.raises(DecryptionError):
        ring.decrypt(msgspec.structs.replace(secret, ciphertext=altered))
    with pytest.raises(DecryptionError):
        ring.decrypt(msgspec.structs.replace(secret, ciphertext=secret.ciphertext[:place]))


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, new = Keyring([KEY]), Keyring([OTHER, KEY])
    assert new.decrypt(old.encrypt(NAME, VALUE)) == VALUE
    assert new.encrypt(NAME, VALUE).key_id == key_id(OTHER)
    assert old.decrypt(new.encrypt(NAME, VALUE, with_key=key_id(KEY))) == VALUE
    with pytest.raises(VaultKeyError, match=f"TOKEN .* {key_id(OTHER)}"):
        old.decrypt(new.encrypt(NAME, VALUE))


def test_the_id_of_a_key_is_the_same_everywhere_and_is_no_part_of_it() -> None:
    assert Keyring([KEY]).ids == Keyring([KEY, KEY]).ids == (key_id(KEY),)
    assert key_id(KEY) != key_id(OTHER)
    assert bytes.fromhex(key_id(KEY)) not in KEY


@pytest.mark.parametrize("separator", [",", " , ", "\n", ",\n"])
def test_keys_are_read_in_order_in_either_alphabet(separator: str) -> None:
    text = separator.join(
        [base64.b64encode(KEY).decode(), base64.urlsafe_b64encode(OTHER).decode().rstrip("=")]
    )
    assert parse_keys(f" {text}\n", "x").ids == (key_id(KEY), key_id(OTHER))


def test_a_new_key_can_be_read() -> None:
    assert len(parse_keys(new_key_text(), "x").ids) == 1
    assert new_key_text() != new_key_text()


@pytest.mark.parametrize(
    "text",
    [
        *("", " ,", "hunter2", "é" * 44, base64.b64encode(os.urandom(31)).decode()),
        *(text_of(KEY) + ",oops", text_of(*[os.urandom(32) for _ in range(17)]), os.urandom(33).hex()),
    ],
    ids=map(str, range(8)),
)
def test_what_is_no_key_is_refused_by_its_source_and_not_shown(text: str) -> None:
    with pytest.raises(VaultKeyError, match="vault_key_file") as caught:
        parse_keys(text, "vault_key_file")
    for word in text.replace(",", " ").split():
        assert word not in str(caught.value)
