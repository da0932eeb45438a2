"""what an app demands of BankID, and who has logged in how"""

import sqlalchemy as sa
from alembic import op

from idp.db import UTCDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("bankid_orders", sa.Column("terms", sa.JSON(), nullable=True))
    op.create_table(
        "login_method_uses",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(length=20), nullable=False),
        sa.Column("first_at", UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_login_method_uses_user_id_users")),
        sa.PrimaryKeyConstraint("user_id", "method", name=op.f("pk_login_method_uses")),
    )
    # Who has logged in already is not told of it as something new.
    op.execute(
        "INSERT INTO login_method_uses (user_id, method, first_at) "
        "SELECT user_id, method, min(created_at) FROM browser_sessions GROUP BY user_id, method"
    )


def downgrade() -> None:
    op.drop_table("login_method_uses")
    with op.batch_alter_table("bankid_orders", schema=None) as batch_op:
        batch_op.drop_column("terms")
